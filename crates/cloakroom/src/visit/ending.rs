//! The commit at a request's end.

use std::{
    fmt,
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::task::JoinHandle;

use super::ResponseHeaders;
use crate::error::Error;

/// How a request ends: a future that commits the session and says what the response has to carry.
///
/// Where a store has to be waited for, the commit goes on as a task of its own, so that it runs to its
/// end also when nobody waits for the response any more. It needs a tokio runtime then.
///
/// # Errors
/// The commit failed, and the handler's response must not be sent as a success: answer
/// [`Error::http_status`] without any cookie.
#[must_use = "a commit that is not run is lost"]
pub struct Ending(Stage);

type Ended = Result<ResponseHeaders, Error>;

enum Stage {
    Over(Option<Ended>),
    Begun(Pin<Box<dyn Future<Output = Ended> + Send>>),
    OnItsOwn(JoinHandle<Ended>),
}

impl Ending {
    pub(crate) fn now(ended: Ended) -> Self {
        Self(Stage::Over(Some(ended)))
    }

    pub(crate) fn later(commit: impl Future<Output = Ended> + Send + 'static) -> Self {
        Self(Stage::Begun(Box::pin(commit)))
    }
}

impl Future for Ending {
    type Output = Ended;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Ended> {
        if let Stage::Begun(commit) = &mut self.0 {
            // Many a commit is over at once, as with the memory store, and needs no task.
            if let Poll::Ready(ended) = commit.as_mut().poll(cx) {
                self.0 = Stage::Over(None);
                return Poll::Ready(ended);
            }
            if let Stage::Begun(commit) = std::mem::replace(&mut self.0, Stage::Over(None)) {
                self.0 = Stage::OnItsOwn(tokio::spawn(commit));
            }
        }
        match &mut self.0 {
            Stage::OnItsOwn(task) => match ready!(Pin::new(task).poll(cx)) {
                Ok(ended) => Poll::Ready(ended),
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // The runtime is shutting down, and whoever waits here with it.
                Err(_) => Poll::Pending,
            },
            Stage::Over(ended) => ended.take().map_or(Poll::Pending, Poll::Ready),
            Stage::Begun(_) => Poll::Pending,
        }
    }
}

impl fmt::Debug for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Stage::Over(ended) => f.debug_tuple("Ending").field(ended).finish(),
            Stage::Begun(_) | Stage::OnItsOwn(_) => f.write_str("Ending(…)"),
        }
    }
}
