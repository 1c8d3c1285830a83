//! The commit at a request's end.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use crate::{backend::detached::Detached, error::Error, http::response_headers::ResponseHeaders};

/// A future that commits the session at the request's end and says what the response has to carry.
///
/// Where a store has to be waited for, the commit goes on as a task of its own, so that it runs to
/// its end if nobody waits for the response any more. It needs a tokio runtime with a timer then.
///
/// # Errors
/// The commit failed, and the handler's response must not be sent as a success: answer
/// [`Error::http_status`](crate::Error::http_status) with the headers that the error has.
#[must_use = "a commit that is not run is lost"]
pub struct CommitFuture(Detached<CommitResult>);

impl CommitFuture {
    pub(crate) fn ready(result: CommitResult) -> Self {
        Self(Detached::ready(result))
    }

    pub(crate) fn new(commit: impl Future<Output = CommitResult> + Send + 'static) -> Self {
        Self(Detached::new(commit))
    }

    /// Ends a request that has no session.
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

/// The headers of a response whose session could not be committed, and why.
#[derive(Clone, Debug)]
pub struct Uncommitted {
    /// Why the commit failed.
    pub error: Error,
    /// What earlier commits of the request have earned, such as the cookie of a new token. Write
    /// them into the error's response.
    pub headers: ResponseHeaders,
}

/// What becomes of a commit at the request's end.
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
