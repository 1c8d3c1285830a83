//! Deadlines: how long a session lives, and when moving its deadline is worth a write.

use std::time::Duration;

use crate::{clock::Timestamp, record::Record};

/// How long the key of a regenerated or destroyed session is remembered as such: longer than a
/// request that was sent with it may wait for its turn, and short, for a visitor whose browser never
/// saw the new cookie can only begin anew when it is over.
const TOMBSTONE: Duration = Duration::from_secs(30);

/// A deadline moves when this fraction of the idle time has gone by.
const TOUCH_FRACTION: u32 = 10;

/// The two timeouts of OWASP ASVS 5.0, 7.3.1 and 7.3.2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lifetimes {
    /// A session ends when it is not used for this long.
    pub(crate) idle: Duration,
    /// A session ends this long after its first commit, however busy it is.
    pub(crate) absolute: Option<Duration>,
}

impl Lifetimes {
    pub(crate) fn new_record(&self, now: Timestamp) -> Record {
        Record::new(now, self.absolute.map(|span| now + span))
    }

    /// The deadline of a record that is used now.
    pub(crate) fn deadline(&self, record: &Record, now: Timestamp) -> Timestamp {
        let idle = now + self.idle;
        record.until.map_or(idle, |until| idle.min(until))
    }

    /// The deadline that a record with the deadline `current` gets: the same, until moving it is
    /// due. A busy reader costs a write per tenth of the idle time, not per request.
    pub(crate) fn throttled(
        &self,
        record: &Record,
        current: Timestamp,
        now: Timestamp,
    ) -> Timestamp {
        let target = self.deadline(record, now);
        if current.until(target) > self.idle / TOUCH_FRACTION { target } else { current }
    }
}

/// When the tombstone of a session that ends now may go.
pub(crate) fn tombstone_deadline(now: Timestamp) -> Timestamp {
    now + TOMBSTONE
}

/// Whether a record with this idle deadline is still live. At the deadline itself it is not.
pub(crate) fn is_live(record: &Record, expires: Timestamp, now: Timestamp) -> bool {
    now < expires && record.until.is_none_or(|until| now < until)
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
        let lifetimes = Lifetimes { idle: HOURS * 10, absolute: None };
        let record = lifetimes.new_record(at(0));
        assert_eq!(lifetimes.throttled(&record, at(10), at(1)), at(10));
        assert_eq!(lifetimes.throttled(&record, at(10), at(2)), at(12));
    }

    // Requirement 12.
    #[test]
    fn no_deadline_passes_the_absolute_one() {
        let lifetimes = Lifetimes { idle: HOURS * 10, absolute: Some(HOURS * 15) };
        let record = lifetimes.new_record(at(0));
        assert_eq!(lifetimes.throttled(&record, at(10), at(9)), at(15));
        assert!(is_live(&record, at(15), at(14)));
        assert!(!is_live(&record, at(15), at(15)));
        assert!(!is_live(&record, at(99), at(15)), "whatever a store says of the idle deadline");
        println!("boundary: dead at the deadline itself, skew 0 s");
    }
}
