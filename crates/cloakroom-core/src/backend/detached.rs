//! Work that runs to its end, whether or not somebody still waits for it.

use std::{
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{runtime::Handle, task::JoinHandle};

/// A future that is done at once where it can be, and goes on as a task of its own from its first
/// wait on. Dropping it before it is polled drops the work, dropping it later does not.
pub(crate) struct Detached<T>(Stage<T>);

enum Stage<T> {
    Ready(Option<T>),
    Inline(Pin<Box<dyn Future<Output = T> + Send>>),
    Spawned(JoinHandle<T>),
}

impl<T> Detached<T> {
    pub(crate) fn ready(done: T) -> Self {
        Self(Stage::Ready(Some(done)))
    }

    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Stage::Inline(Box::pin(work)))
    }
}

/// The work is pinned in its box, and what is done is only moved out.
impl<T> Unpin for Detached<T> {}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Stage::Inline(work) = &mut self.0 {
            if let Poll::Ready(done) = work.as_mut().poll(cx) {
                self.0 = Stage::Ready(None);
                return Poll::Ready(done);
            }
            // Without a runtime the work stays here.
            let Ok(runtime) = Handle::try_current() else { return Poll::Pending };
            if let Stage::Inline(work) = std::mem::replace(&mut self.0, Stage::Ready(None)) {
                self.0 = Stage::Spawned(runtime.spawn(work));
            }
        }
        match &mut self.0 {
            Stage::Spawned(task) => match ready!(Pin::new(task).poll(cx)) {
                Ok(done) => Poll::Ready(done),
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // The runtime is shutting down, and whoever waits here with it.
                Err(_) => Poll::Pending,
            },
            Stage::Ready(done) => done.take().map_or(Poll::Pending, Poll::Ready),
            Stage::Inline(_) => Poll::Pending,
        }
    }
}
