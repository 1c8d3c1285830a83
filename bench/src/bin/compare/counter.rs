//! Compares a counter with the writes that got a reply.

use std::fmt;

/// A counter after a load, compared with the writes that got a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// The counter has each write that got a reply, and nothing else.
    Exact,
    /// The counter lacks this many writes that got a reply.
    Lost(u64),
    /// So many writes are in it although their requests failed.
    Ahead(u64),
}

impl Counter {
    /// Compares the value of a counter with the number of writes that got a reply.
    pub(crate) fn compare(value: u64, answered: u64) -> Self {
        match value.checked_sub(answered) {
            Some(0) => Self::Exact,
            Some(more) => Self::Ahead(more),
            None => Self::Lost(answered - value),
        }
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact => f.write_str("exact"),
            Self::Lost(number) => write!(f, "lost {number}"),
            Self::Ahead(number) => write!(f, "{number} ahead"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_exact_lost_or_ahead() {
        assert_eq!(Counter::compare(7, 7), Counter::Exact);
        assert_eq!(Counter::compare(5, 7), Counter::Lost(2));
        assert_eq!(Counter::compare(8, 7), Counter::Ahead(1));
    }
}
