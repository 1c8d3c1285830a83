//! The commit, between the handler's response and the client's.

use std::{
    any::Any,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    task::{Context, Poll, ready},
};

use cloakroom_core::adapter::{
    AdapterError, Ahead, CommitFuture, ResponseHeaders, Uncommitted, axum::render,
};
use http::Response;
use pin_project_lite::pin_project;

use crate::{
    failure::{OnFailure, with_body},
    handled_request::HandledRequest,
};

pin_project! {
    /// Runs the handler, then the commit.
    pub struct ResponseFuture<F, B> {
        #[pin]
        handler: F,
        ahead: Option<Ahead>,
        request: HandledRequest,
        on_failure: OnFailure,
        committing: Option<Committing<B>>,
    }
}

/// The commit after the handler, and the handler's outcome until the commit is done.
struct Committing<B> {
    commit: CommitFuture,
    outcome: Outcome<B>,
}

/// The result of a handler.
enum Outcome<B> {
    Response(Response<B>),
    Panic(Box<dyn Any + Send>),
}

impl<F, B> ResponseFuture<F, B> {
    pub(crate) fn new(
        handler: F,
        request: HandledRequest,
        ahead: Option<Ahead>,
        on_failure: OnFailure,
    ) -> Self {
        Self { handler, ahead, request, on_failure, committing: None }
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
        let (request, on_failure) = (this.request, this.on_failure);
        if let Some(ahead) = this.ahead {
            let replied = ready!(ahead.as_mut().poll(cx));
            *this.ahead = None;
            match replied {
                Ok(None) => {}
                Ok(Some(reply)) => {
                    let response = with_body(render(reply));
                    *this.committing = Some(Outcome::Response(response).commit(request));
                }
                Err(error) => {
                    let failure = AdapterError::NotLoaded(error);
                    return Poll::Ready(Ok(on_failure.respond(failure, request)));
                }
            }
        }
        let mut committing = match this.committing.take() {
            Some(committing) => committing,
            None => match ready!(poll_catching_panic(this.handler.as_mut(), cx)) {
                Ok(Ok(response)) => {
                    Outcome::Response(on_failure.replace(response, request)).commit(request)
                }
                Ok(Err(error)) => {
                    tokio::spawn(request.context.abandon(request.line()));
                    return Poll::Ready(Err(error));
                }
                Err(payload) => Outcome::Panic(payload).commit(request),
            },
        };
        match Pin::new(&mut committing.commit).poll(cx) {
            Poll::Ready(committed) => {
                Poll::Ready(Ok(committing.outcome.into_response(committed, request, on_failure)))
            }
            Poll::Pending => {
                *this.committing = Some(committing);
                Poll::Pending
            }
        }
    }
}

/// Polls a future and catches its panic.
///
/// A panic can leave data half changed. The layer looks at no such data afterwards but at a `destroy`,
/// which is complete from the moment it is called.
fn poll_catching_panic<F: Future>(
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<Result<F::Output, Box<dyn Any + Send>>> {
    match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
        Ok(output) => output.map(Ok),
        Err(payload) => Poll::Ready(Err(payload)),
    }
}

impl<B: Default + 'static> Outcome<B> {
    /// Starts the commit.
    fn commit(self, request: &HandledRequest) -> Committing<B> {
        let commit = match &self {
            Self::Response(response) => {
                request.note_response(response.headers());
                request.context.finish(response.status().as_u16())
            }
            Self::Panic(_) => request.context.abandon(request.line()),
        };
        Committing { commit, outcome: self }
    }

    /// Makes the response, once the result of the commit is known.
    fn into_response(
        self,
        committed: Result<ResponseHeaders, Uncommitted>,
        request: &HandledRequest,
        on_failure: &OnFailure,
    ) -> Response<B> {
        let (mut response, headers) = match (self, committed) {
            (Self::Response(response), Ok(headers)) => (response, headers),
            (Self::Response(_), Err(Uncommitted { error, headers })) => {
                (on_failure.respond(AdapterError::NotCommitted(error), request), headers)
            }
            (Self::Panic(payload), committed) => {
                let headers = committed.unwrap_or_else(|uncommitted| uncommitted.headers);
                if headers.set_cookie.is_empty() {
                    resume_unwind(payload);
                }
                (on_failure.respond(AdapterError::Panicked, request), headers)
            }
        };
        headers.write_to(response.headers_mut());
        response
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").field("request", &self.request).finish_non_exhaustive()
    }
}
