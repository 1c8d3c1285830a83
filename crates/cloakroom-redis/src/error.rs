//! Errors that this driver makes itself.

use std::fmt;

use redis::{ErrorKind, RedisError};

/// Makes an error about a reply of an unexpected form.
pub(crate) fn unexpected(instead_of: &'static str) -> RedisError {
    (ErrorKind::UnexpectedReturnType, "the reply of Redis is not", instead_of.to_owned()).into()
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
