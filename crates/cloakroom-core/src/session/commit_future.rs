//! The commit at a request's end.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{backend::detached::Detached, error::Error, http::response_headers::ResponseHeaders};

/// A future that commits the session at the request's end and returns the headers for the response.
///
/// A commit that has to wait for a store continues in a separate task, so that it runs to its end even
/// if the client has disconnected. It then needs a tokio runtime with a timer.
///
/// # Errors
/// When the commit failed. The handler's response must then not be sent, because it may report a
/// success. Send the status [`Error::http_status`](crate::Error::http_status) and the headers of the
/// error instead.
#[must_use = "a commit that is not run is lost"]
pub struct CommitFuture(Detached<CommitResult>);

impl CommitFuture {
    pub(crate) fn ready(result: CommitResult) -> Self {
        Self(Detached::ready(result))
    }

    pub(crate) fn new(commit: impl Future<Output = CommitResult> + Send + 'static) -> Self {
        Self(Detached::new(commit))
    }

    /// Returns the empty result of a request that used no session.
    pub(crate) fn without_session() -> Self {
        Self::ready(Ok(ResponseHeaders::default()))
    }
}

impl Future for CommitFuture {
    type Output = CommitResult;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CommitResult> {
        Pin::new(&mut self.0).poll(cx)
    }
}

impl fmt::Debug for CommitFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CommitFuture(…)")
    }
}

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
