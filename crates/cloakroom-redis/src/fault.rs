//! The causes of failed commands, and what follows from them.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::delivery::Delivery;

/// The cause of a failed command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The server has become a replica and refused a write.
    Demoted,
    /// The connection broke before the whole reply arrived.
    Lost,
    /// The reply did not arrive in time.
    Late,
    /// The command was refused, and may succeed later.
    Passing,
    /// Any other cause. The same command fails again.
    Lasting,
}

impl Fault {
    pub(crate) fn of(error: &RedisError) -> Self {
        use ServerErrorKind::{
            Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain,
        };
        match error.kind() {
            ErrorKind::Io if error.is_timeout() => Self::Late,
            ErrorKind::Io | ErrorKind::Parse => Self::Lost,
            ErrorKind::Server(ReadOnly) => Self::Demoted,
            ErrorKind::Server(Ask | BusyLoading | ClusterDown | MasterDown | Moved | TryAgain)
            | ErrorKind::ClusterConnectionNotFound
            | ErrorKind::MasterNameNotFoundBySentinel => Self::Passing,
            _ => Self::in_words(error),
        }
    }

    /// Finds the cause in the error's code and text. The text of a script's error has the error that
    /// occurred inside the script.
    fn in_words(error: &RedisError) -> Self {
        let [code, text] = [error.code(), error.detail()].map(Option::unwrap_or_default);
        let says = |word: &&str| code == *word || text.contains(*word);
        if says(&"READONLY") {
            Self::Demoted
        } else if ["OOM", "BUSY", "NOREPLICAS", "MISCONF"].iter().any(says) {
            Self::Passing
        } else {
            Self::Lasting
        }
    }

    /// Returns `true` if the connection is of no use any more.
    pub(crate) fn ends_connection(self) -> bool {
        matches!(self, Self::Demoted | Self::Lost | Self::Late)
    }

    /// Returns the delivery of a second copy, or `None` if none is to be sent. After a timeout, the request
    /// has no time left.
    pub(crate) fn resent(self) -> Option<Delivery> {
        match self {
            Self::Demoted => Some(Delivery::Once),
            Self::Lost => Some(Delivery::Repeated),
            Self::Late | Self::Passing | Self::Lasting => None,
        }
    }

    /// Returns `true` if the same command may succeed later.
    pub(crate) fn is_passing(self) -> bool {
        self != Self::Lasting
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use redis::make_extension_error;

    use super::*;

    /// Returns the error of a server's reply, without the `-` before it.
    fn reply(text: &str) -> RedisError {
        redis::parse_redis_value(format!("-{text}\r\n").as_bytes())
            .and_then(redis::Value::extract_error)
            .unwrap_err()
    }

    #[test]
    fn each_fault_has_its_consequences() {
        use Delivery::{Once, Repeated};
        use Fault::{Demoted, Lasting, Late, Lost, Passing};
        for (fault, ends_connection, resent, is_passing) in [
            (Demoted, true, Some(Once), true),
            (Lost, true, Some(Repeated), true),
            (Late, true, None, true),
            (Passing, false, None, true),
            (Lasting, false, None, false),
        ] {
            let found = (fault.ends_connection(), fault.resent(), fault.is_passing());
            assert_eq!(found, (ends_connection, resent, is_passing), "{fault:?}");
        }
    }

    #[test]
    fn the_cause_is_found_in_kinds_codes_and_texts_of_scripts() {
        use Fault::{Demoted, Lasting, Late, Lost, Passing};
        for (kind, fault) in [
            (io::ErrorKind::TimedOut, Late),
            (io::ErrorKind::ConnectionReset, Lost),
            (io::ErrorKind::UnexpectedEof, Lost),
            (io::ErrorKind::ConnectionRefused, Lost),
        ] {
            assert_eq!(Fault::of(&io::Error::from(kind).into()), fault, "{kind}");
        }
        for (text, fault) in [
            ("READONLY You can't write against a read only replica.", Demoted),
            ("READONLY You can't write. script: a1, on @user_script:66.", Demoted),
            // Redis 6.2
            ("ERR Error running script (call to f_a1): @user_script:66: -READONLY You", Demoted),
            ("ERR Error running script (call to f_a1): @user_script:66: -OOM command", Passing),
            ("OOM command not allowed when used memory > 'maxmemory'.", Passing),
            ("BUSY Redis is busy running a script.", Passing),
            ("LOADING Redis is loading the dataset in memory", Passing),
            ("CLUSTERDOWN The cluster is down", Passing),
            ("NOSCRIPT No matching script.", Lasting),
            ("NOPERM this user has no permissions", Lasting),
            ("WRONGTYPE Operation against a key", Lasting),
        ] {
            assert_eq!(Fault::of(&reply(text)), fault, "{text}");
        }
        assert_eq!(Fault::of(&make_extension_error("X".to_owned(), None)), Lasting);
    }
}
