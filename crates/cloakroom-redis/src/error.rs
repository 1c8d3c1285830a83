//! The kinds of Redis errors.

use std::fmt;

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Makes an error about a reply of an unexpected form.
pub(crate) fn unexpected(instead_of: &'static str) -> RedisError {
    (ErrorKind::UnexpectedReturnType, "the reply of Redis is not", instead_of.to_owned()).into()
}

/// Returns `true` if the same command may succeed later.
pub(crate) fn is_passing(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    let server = [BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain];
    let words = ["OOM", "BUSY", "NOREPLICAS", "MISCONF"];
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_cluster_error()
        || matches!(error.kind(), ErrorKind::Server(kind) if server.contains(&kind))
        || error.code().is_some_and(|code| words.contains(&code))
        || matches!(
            error.kind(),
            ErrorKind::ClusterConnectionNotFound
                | ErrorKind::MasterNameNotFoundBySentinel
                | ErrorKind::Io
                | ErrorKind::Parse
        )
        // An error inside a script is part of the text of the script's error.
        || error.detail().is_some_and(|detail| words.iter().any(|word| detail.contains(word)))
}

/// The cause of an unknown outcome.
#[derive(Debug)]
pub(crate) struct LostReply;

impl fmt::Display for LostReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the connection broke before the reply arrived, and the record no longer shows whether \
             this write took effect",
        )
    }
}

impl std::error::Error for LostReply {}
