//! The result of a commit at a request's end.

use std::fmt;

use crate::{error::Error, http::response_headers::ResponseHeaders};

/// The error of a failed commit, with headers for the error's response.
#[derive(Clone, Debug)]
pub struct Uncommitted {
    /// The error of the commit.
    pub error: Error,
    /// The headers of earlier commits of the request, such as the cookie of a new token. Write them
    /// into the error's response.
    pub headers: ResponseHeaders,
}

/// The result of the commit at the request's end.
pub(crate) type CommitResult = Result<ResponseHeaders, Uncommitted>;

impl From<Uncommitted> for Error {
    fn from(uncommitted: Uncommitted) -> Self {
        uncommitted.error
    }
}

impl fmt::Display for Uncommitted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Uncommitted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.error)
    }
}
