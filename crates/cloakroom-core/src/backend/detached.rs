//! Work that runs to its end even if its future is dropped.

use std::{
    panic::resume_unwind,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{runtime::Handle, task::JoinHandle};

/// A future whose work continues in a separate task from its first wait on. Work that never waits needs
/// no task. Dropping the future before its first poll drops the work. Dropping it later does not.
pub(crate) struct Detached<T>(Stage<T>);

enum Stage<T> {
    Ready(Option<T>),
    Inline(Pin<Box<dyn Future<Output = T> + Send>>),
    Spawned(JoinHandle<T>),
}

impl<T> Detached<T> {
    pub(crate) fn ready(output: T) -> Self {
        Self(Stage::Ready(Some(output)))
    }

    pub(crate) fn new(work: impl Future<Output = T> + Send + 'static) -> Self {
        Self(Stage::Inline(Box::pin(work)))
    }
}

/// Moving the future is sound, because the work is pinned in its box.
impl<T> Unpin for Detached<T> {}

impl<T: Send + 'static> Future for Detached<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        if let Stage::Inline(work) = &mut self.0 {
            if let Poll::Ready(output) = work.as_mut().poll(cx) {
                self.0 = Stage::Ready(None);
                return Poll::Ready(output);
            }
            // Without a runtime there are no tasks, so the work stays in this future.
            let Ok(runtime) = Handle::try_current() else { return Poll::Pending };
            if let Stage::Inline(work) = std::mem::replace(&mut self.0, Stage::Ready(None)) {
                self.0 = Stage::Spawned(runtime.spawn(work));
            }
        }
        match &mut self.0 {
            Stage::Spawned(task) => match ready!(Pin::new(task).poll(cx)) {
                Ok(output) => Poll::Ready(output),
                Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
                // The runtime is shutting down and drops this future soon.
                Err(_) => Poll::Pending,
            },
            Stage::Ready(output) => output.take().map_or(Poll::Pending, Poll::Ready),
            Stage::Inline(_) => Poll::Pending,
        }
    }
}
