//! Deadlines: how long a session lives, and when moving its deadline is worth a write.

use std::time::Duration;

use crate::{clock::Timestamp, record::Record};

/// How long the key of a regenerated or destroyed session is remembered as such: longer than a
/// request that was sent with it may wait for its turn, and short, for a visitor whose browser never
/// saw the new cookie can only begin anew when it is over.
pub const TOMBSTONE: Duration = Duration::from_secs(30);

/// A deadline moves when this fraction of the idle time has gone by, so that a busy reader costs
/// ten touches per idle time and not one per request.
const TOUCH_FRACTION: u32 = 10;

/// The two timeouts of OWASP ASVS 5.0, 7.3.1 and 7.3.2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    idle: Duration,
    absolute: Option<Duration>,
}

impl Lifetimes {
    /// A session ends when it is not used for `idle`, and `absolute` after its first commit, however
    /// busy it is.
    pub(crate) fn new(idle: Duration, absolute: Option<Duration>) -> Self {
        // What is dead anyway need not be kept any longer.
        Self { idle: absolute.map_or(idle, |absolute| idle.min(absolute)), absolute }
    }

    /// How long `record` lives on when it is used.
    pub(crate) fn idle(&self, record: &Record) -> Duration {
        record.age.map_or(self.idle, Duration::from_millis)
    }

    /// Whether `record` was given more time than others: then its cookie stays in the browser in any
    /// case.
    pub(crate) fn outlives_others(&self, record: &Record) -> bool {
        self.idle(record) > self.idle
    }

    pub(crate) fn new_record(&self, now: Timestamp) -> Record {
        Record::new(now, self.absolute.map(|span| now + span))
    }

    /// The idle deadline of a record that is used now.
    pub(crate) fn deadline(&self, record: &Record, now: Timestamp) -> Timestamp {
        now + self.idle(record)
    }

    /// The idle deadline that a record with the deadline `current` gets: the same, until moving it
    /// is due.
    pub(crate) fn throttled(
        &self,
        record: &Record,
        current: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        let idle = self.idle(record);
        let due = current.until(now + idle) > idle / TOUCH_FRACTION;
        if due { self.deadline(record, now) } else { current }
    }

    /// When a record with this idle deadline was last used, to a tenth of the idle time.
    pub(crate) fn last_used(&self, record: &Record, expires: Timestamp) -> Timestamp {
        let since_the_epoch = Timestamp::from_millis(0).until(expires);
        Timestamp::from_millis(0) + since_the_epoch.saturating_sub(self.idle(record))
    }
}

/// When a record with this idle deadline ends unless it is used: the earlier of its two deadlines.
pub(crate) fn end(record: &Record, expires: Timestamp) -> Timestamp {
    record.until.map_or(expires, |until| expires.min(until))
}

/// When the tombstone of a session that ends now may go.
pub(crate) fn tombstone_deadline(now: Timestamp) -> Timestamp {
    now + TOMBSTONE
}

/// The same where the session is ended from elsewhere: at once. Its own browser was not told, and shall
/// be able to sign in again.
pub(crate) fn no_tombstone(now: Timestamp) -> Timestamp {
    now
}

/// Whether a record with this idle deadline is still live. At the deadline itself it is not.
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
    fn the_deadline_moves_when_more_than_a_tenth_has_gone_by() {
        let lifetimes = Lifetimes::new(HOURS * 10, None);
        let mut record = lifetimes.new_record(at(0));
        assert_eq!(lifetimes.throttled(&record, at(10), at(1)), at(10));
        assert_eq!(lifetimes.throttled(&record, at(10), at(2)), at(12));
        assert_eq!(lifetimes.last_used(&record, at(12)), at(2));
        record.age = Some(20 * 3_600_000);
        assert_eq!(lifetimes.throttled(&record, at(10), at(1)), at(21));
        assert!(lifetimes.outlives_others(&record));
    }

    // Requirement 12.
    #[test]
    fn no_use_carries_a_session_past_its_absolute_deadline() {
        let lifetimes = Lifetimes::new(HOURS * 10, Some(HOURS * 15));
        let record = lifetimes.new_record(at(0));
        assert_eq!(end(&record, lifetimes.throttled(&record, at(10), at(9))), at(15));
        assert!(is_live(&record, at(19), at(14)));
        assert!(!is_live(&record, at(19), at(15)));
        assert!(!is_live(&record, at(99), at(15)), "whatever a store says of the idle deadline");
        println!("boundary: dead at the deadline itself, skew 0 s");
    }
}
