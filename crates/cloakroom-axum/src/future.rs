//! From the handler's answer to the response: the commit.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use cloakroom::{Error, ResponseHeaders, Visit};
use http::{Response, StatusCode};
use pin_project_lite::pin_project;
use tokio::task::JoinHandle;

use crate::headers;

pin_project! {
    /// Runs the handler, then the commit.
    pub struct ResponseFuture<F, B> {
        #[pin]
        handler: F,
        visit: Option<Visit>,
        ending: Option<Ending<B>>,
    }
}

/// What is left to do once the handler is done.
enum Ending<B> {
    Commit { response: Option<Response<B>>, commit: Commit<ResponseHeaders> },
    Panic { payload: Option<Box<dyn Any + Send>>, commit: Commit<()> },
}

impl<F, B> ResponseFuture<F, B> {
    pub(crate) fn new(handler: F, visit: Option<Visit>) -> Self {
        Self { handler, visit, ending: None }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.ending.is_none() {
            let outcome = ready!(poll_catching_panic(this.handler.as_mut(), cx));
            let Some(visit) = this.visit.take().filter(|visit| visit.loaded().is_some()) else {
                return Poll::Ready(outcome.unwrap_or_else(|payload| resume_unwind(payload)));
            };
            match outcome {
                Ok(Ok(response)) => *this.ending = Some(Ending::commit(visit, response)),
                Ok(Err(error)) => {
                    tokio::spawn(async move { visit.abandon().await });
                    return Poll::Ready(Err(error));
                }
                Err(payload) => *this.ending = Some(Ending::panic(visit, payload)),
            }
        }
        match this.ending {
            Some(ending) => ending.poll(cx).map(Ok),
            None => Poll::Pending,
        }
    }
}

/// Whatever a panic left half done is not looked at again, but for a `destroy`, which is complete
/// from the moment it is called.
fn poll_catching_panic<F: Future>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Box<dyn Any + Send>>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(outcome) => outcome.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    }
}

impl<B: Default> Ending<B> {
    fn commit(visit: Visit, response: Response<B>) -> Self {
        let status = response.status().as_u16();
        let commit = Commit::new(async move { visit.finish(status).await });
        Self::Commit { response: Some(response), commit }
    }

    fn panic(visit: Visit, payload: Box<dyn Any + Send>) -> Self {
        let commit = Commit::new(async move { visit.abandon().await });
        Self::Panic { payload: Some(payload), commit }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response<B>> {
        match self {
            Self::Commit { response, commit } => {
                let session = ready!(commit.poll(cx));
                response
                    .take()
                    .map_or(Poll::Pending, |response| Poll::Ready(close(response, session)))
            }
            Self::Panic { payload, commit } => {
                if let Err(error) = ready!(commit.poll(cx)) {
                    tracing::error!(?error, "a session could not be destroyed after a panic");
                }
                payload.take().map_or(Poll::Pending, |payload| resume_unwind(payload))
            }
        }
    }
}

/// The handler's response with the session's headers, or the answer to a failed commit.
fn close<B: Default>(
    mut response: Response<B>,
    session: Result<ResponseHeaders, Error>,
) -> Response<B> {
    match session {
        Ok(session) => headers::add(response.headers_mut(), session),
        Err(error) => {
            tracing::error!(error = ?error, "the session could not be committed; the response is dropped");
            response = Response::new(B::default());
            *response.status_mut() = status_of(&error);
        }
    }
    response
}

/// What a client is told of an error: nothing but whether to come back later.
pub(crate) fn status_of(error: &Error) -> StatusCode {
    if error.is_unavailable() {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("visit", &self.visit).finish_non_exhaustive()
    }
}

/// A commit that runs to its end even when the response is no longer wanted. One that has not to
/// wait, as with the cookie and memory drivers, is never handed to the runtime.
enum Commit<T> {
    Here(Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>),
    Spawned(JoinHandle<Result<T, Error>>),
}

impl<T: Send + 'static> Commit<T> {
    fn new(commit: impl Future<Output = Result<T, Error>> + Send + 'static) -> Self {
        Self::Here(Box::pin(commit))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Error>> {
        if let Self::Here(commit) = self {
            if let Poll::Ready(done) = commit.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            let rest = std::mem::replace(commit, Box::pin(std::future::pending()));
            *self = Self::Spawned(tokio::spawn(rest));
        }
        match self {
            Self::Here(_) => Poll::Pending,
            Self::Spawned(task) => match ready!(Pin::new(task).poll(cx)) {
                Ok(done) => Poll::Ready(done),
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // The runtime is shutting down, and this task with it.
                Err(_) => Poll::Pending,
            },
        }
    }
}
