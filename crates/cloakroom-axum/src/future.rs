//! From the handler's answer to the response: the commit.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use cloakroom_core::adapter::{
    AdapterError, CommitFuture, Preload, RequestContext, ResponseHeaders, Uncommitted,
};
use http::Response;
use pin_project_lite::pin_project;

use crate::failure::{OnFailure, given_status};

pin_project! {
    /// Runs the handler, then the commit.
    pub struct ResponseFuture<F, B> {
        #[pin]
        handler: F,
        preload: Option<Preload>,
        visit: RequestContext,
        role: Role,
        on_failure: OnFailure,
        waiting: Option<Waiting<B>>,
    }
}

/// What a layer does at the end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Commits,
    /// A layer around it is for the same cookie.
    LeavesCommitToOuter,
}

/// What a response waits for once the handler is done.
struct Waiting<B> {
    ending: CommitFuture,
    then: Option<Then<B>>,
}

/// What becomes of the handler's outcome after the commit.
enum Then<B> {
    Respond(Response<B>),
    Panic(Box<dyn Any + Send>),
}

impl<F, B> ResponseFuture<F, B> {
    pub(crate) fn new(
        handler: F,
        visit: RequestContext,
        role: Role,
        preload: Option<Preload>,
        on_failure: OnFailure,
    ) -> Self {
        Self { handler, preload, visit, role, on_failure, waiting: None }
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Default + 'static,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(preload) = this.preload {
            let loaded = ready!(preload.as_mut().poll(cx));
            *this.preload = None;
            if let Err(error) = loaded {
                let failure = AdapterError::NotLoaded(error);
                return Poll::Ready(Ok(this.on_failure.respond(failure, this.visit)));
            }
        }
        if this.waiting.is_none() {
            let outcome = ready!(poll_catching_panic(this.handler.as_mut(), cx));
            let outcome = outcome
                .map(|result| result.map(|response| this.on_failure.replace(response, this.visit)));
            if *this.role == Role::LeavesCommitToOuter {
                return Poll::Ready(outcome.unwrap_or_else(|payload| resume_unwind(payload)));
            }
            let (ending, then) = match outcome {
                Ok(Ok(response)) => {
                    let (given, sent) = (given_status(&response), response.status().as_u16());
                    let ending = this.visit.finish_replaced(given.as_u16(), sent);
                    (ending, Then::Respond(response))
                }
                Ok(Err(error)) => {
                    tokio::spawn(this.visit.abandon());
                    return Poll::Ready(Err(error));
                }
                Err(payload) => (this.visit.abandon(), Then::Panic(payload)),
            };
            *this.waiting = Some(Waiting { ending, then: Some(then) });
        }
        match this.waiting {
            Some(waiting) => waiting.poll(this.visit, this.on_failure, cx).map(Ok),
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

impl<B: Default + 'static> Waiting<B> {
    fn poll(
        &mut self,
        visit: &RequestContext,
        on_failure: &OnFailure,
        cx: &mut Context<'_>,
    ) -> Poll<Response<B>> {
        let session = ready!(Pin::new(&mut self.ending).poll(cx));
        match self.then.take() {
            Some(then) => Poll::Ready(then.close(session, visit, on_failure)),
            None => Poll::Pending,
        }
    }
}

impl<B: Default + 'static> Then<B> {
    /// Returns the response, once it is known what the session asks of it.
    fn close(
        self,
        session: Result<ResponseHeaders, Uncommitted>,
        visit: &RequestContext,
        on_failure: &OnFailure,
    ) -> Response<B> {
        let (mut response, headers) = match (self, session) {
            (Self::Respond(response), Ok(headers)) => (response, headers),
            (Self::Respond(_), Err(Uncommitted { error, headers })) => {
                (on_failure.respond(AdapterError::NotCommitted(error), visit), headers)
            }
            (Self::Panic(payload), session) => {
                let headers = session.unwrap_or_else(|uncommitted| uncommitted.headers);
                if headers.set_cookie.is_empty() {
                    resume_unwind(payload);
                }
                (on_failure.respond(AdapterError::Panicked, visit), headers)
            }
        };
        headers.write_to(response.headers_mut());
        response
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("visit", &self.visit).finish_non_exhaustive()
    }
}
