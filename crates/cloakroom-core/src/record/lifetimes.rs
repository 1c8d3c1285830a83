//! Timeouts and deadlines of sessions.

use std::time::Duration;

use crate::{cookie::MAX_MAX_AGE, error::ConfigError, record::Record};
use cloakroom_store::{TOMBSTONE, clock::Timestamp};

/// The shortest timeout. `Max-Age` counts whole seconds, and browsers remove a cookie whose `Max-Age`
/// is 0 (RFC 6265bis, 5.6.2).
pub const MIN_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest idle timeout. Stores keep deadlines in numbers of different sizes, and all of them can
/// hold this one.
const MAX_IDLE: Duration = Duration::from_secs(100 * 365 * 24 * 3_600);

/// The time for which the tombstone of a regenerated session names its successor. Within this time a
/// logout that was sent with the old token ends the session. A request may take this long.
pub(crate) const SUCCESSOR: Duration = Duration::from_secs(3_600);

/// The two timeouts of OWASP ASVS 5.0, 7.3.1 and 7.3.2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    idle: Duration,
    absolute: Option<Duration>,
}

impl Lifetimes {
    /// Makes the timeouts. A session ends when it is unused for `idle`, or `absolute` after its first
    /// commit.
    ///
    /// # Errors
    /// When a timeout is below [`MIN_TIMEOUT`].
    pub(crate) fn new(idle: Duration, absolute: Option<Duration>) -> Result<Self, ConfigError> {
        if idle < MIN_TIMEOUT {
            return Err(ConfigError::new("idle_timeout", "at least one second is accepted"));
        }
        if absolute.is_some_and(|absolute| absolute < MIN_TIMEOUT) {
            return Err(ConfigError::new("absolute_timeout", "at least one second is accepted"));
        }
        // A longer idle timeout would keep records that the absolute timeout has ended.
        let longest = absolute.unwrap_or(MAX_IDLE).min(MAX_IDLE);
        Ok(Self { idle: idle.min(longest), absolute })
    }

    /// Returns the idle timeout of `record`: its own or the default, at least [`MIN_TIMEOUT`] and at
    /// most its absolute timeout.
    pub(crate) fn idle(&self, record: &Record) -> Duration {
        let idle = record.idle_timeout.map_or(self.idle, Duration::from_millis);
        let absolute = record.absolute_deadline.map(|deadline| record.created.until(deadline));
        idle.min(absolute.unwrap_or(MAX_IDLE)).clamp(MIN_TIMEOUT, MAX_IDLE)
    }

    /// Returns whether `record` has a longer idle timeout than the default. Its cookie then survives
    /// the end of the browser session.
    pub(crate) fn outlives_others(&self, record: &Record) -> bool {
        self.idle(record) > self.idle
    }

    pub(crate) fn new_record(&self, now: Timestamp) -> Record {
        Record::new(now, self.absolute_deadline(now))
    }

    /// Returns the absolute deadline of a session that begins now, by the settings.
    pub(crate) fn absolute_deadline(&self, now: Timestamp) -> Option<Timestamp> {
        self.absolute.map(|span| now + span)
    }

    /// Returns when a record with this idle deadline was last used. The result is exact to a tenth of
    /// the idle timeout, because shorter steps of the deadline are not stored.
    pub(crate) fn last_used(&self, record: &Record, expires: Timestamp) -> Timestamp {
        let since_the_epoch = Timestamp::from_millis(0).until(expires);
        Timestamp::from_millis(0) + since_the_epoch.saturating_sub(self.idle(record))
    }
}

/// The timeouts that a record and its cookie have after the changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// The idle timeout.
    pub(crate) idle: Duration,
    pub(crate) absolute: Option<Timestamp>,
    pub(crate) cookie: CookieContents,
    pub(crate) browser: Browser,
}

impl Deadlines {
    /// Returns how long the browser keeps the cookie of a session with this idle deadline. `None`:
    /// until the browser is closed.
    pub(crate) fn max_age(&self, expires: Timestamp, now: Timestamp) -> Option<Duration> {
        match self.browser {
            Browser::KeepsCookie => Some(now.until(self.end(expires))),
            Browser::DropsCookie => None,
        }
    }

    /// Returns whether the end of the session may be later than that of a cookie that was set up to half
    /// of the longest `Max-Age` ago.
    pub(crate) fn outlives_cookie(&self, now: Timestamp) -> bool {
        now.until(self.end(now + self.idle)) > MAX_MAX_AGE / 2
    }

    /// Returns when an unused session with this idle deadline ends.
    pub(crate) fn end(&self, expires: Timestamp) -> Timestamp {
        self.absolute.map_or(expires, |absolute| expires.min(absolute))
    }
}

/// Whether a browser drops the cookie when it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Browser {
    KeepsCookie,
    DropsCookie,
}

/// The contents of the visitor's cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieContents {
    /// A token. The cookie is set again when the lifetime changes.
    Token,
    /// The sealed record. The cookie is set again at each change.
    Record,
}

/// Returns when an unused record with this idle deadline ends: at the earlier of its two deadlines.
pub(crate) fn end(record: &Record, expires: Timestamp) -> Timestamp {
    record.absolute_deadline.map_or(expires, |until| expires.min(until))
}

/// Returns whether a request that finds this tombstone counts as a late request of the ended session.
/// Later than [`TOMBSTONE`] after the rotation, the tombstone serves only to find the successor.
pub(crate) fn tombstone_counts(has_successor: bool, expires: Timestamp, now: Timestamp) -> bool {
    !has_successor || now.until(expires) + TOMBSTONE > SUCCESSOR
}

/// Returns whether a record with this idle deadline is live. It has ended at the deadline itself.
pub(crate) fn is_live(record: &Record, expires: Timestamp, now: Timestamp) -> bool {
    now < end(record, expires)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOURS: Duration = Duration::from_hours(1);

    fn at(hours: u32) -> Timestamp {
        Timestamp::from_millis(0) + HOURS * hours
    }

    #[test]
    fn a_record_with_a_timeout_of_its_own_outlives_others() {
        let lifetimes = Lifetimes::new(HOURS * 10, None).unwrap();
        let mut record = lifetimes.new_record(at(0));
        assert_eq!(lifetimes.last_used(&record, at(12)), at(2));
        assert!(!lifetimes.outlives_others(&record));
        record.idle_timeout = Some(20 * 3_600_000);
        assert!(lifetimes.outlives_others(&record));
    }

    #[test]
    fn a_rotation_tombstone_counts_for_half_a_minute() {
        let after = |span| at(0) + span;
        assert!(tombstone_counts(true, at(1), after(TOMBSTONE / 2)));
        assert!(!tombstone_counts(true, at(1), after(TOMBSTONE)));
        assert!(tombstone_counts(false, after(TOMBSTONE), at(0)));
    }

    #[test]
    fn a_used_session_ends_at_its_absolute_deadline() {
        let lifetimes = Lifetimes::new(HOURS * 10, Some(HOURS * 15)).unwrap();
        let record = lifetimes.new_record(at(0));
        assert_eq!(end(&record, at(19)), at(15));
        assert!(is_live(&record, at(19), at(14)));
        assert!(!is_live(&record, at(19), at(15)));
        assert!(!is_live(&record, at(99), at(15)), "also with a later idle deadline in the store");
    }

    #[test]
    fn a_timeout_below_one_second_is_refused() {
        let (second, less) = (Duration::from_secs(1), Duration::from_millis(999));
        assert!(Lifetimes::new(second, Some(second)).is_ok());
        for (idle, absolute, name) in [
            (less, None, "idle_timeout"),
            (Duration::ZERO, None, "idle_timeout"),
            (HOURS, Some(less), "absolute_timeout"),
        ] {
            let error = Lifetimes::new(idle, absolute).unwrap_err().to_string();
            assert!(error.starts_with(name) && error.contains("at least one second"), "{error}");
        }
    }
}
