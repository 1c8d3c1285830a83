//! How long something that races with other processes is tried again.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context as Poller, Poll},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep_until},
};

use crate::{
    context::Context,
    error::{Error, Kind},
    store::StoreError,
};

/// The first retries follow at once. Later ones wait a random part of a growing span.
const PROMPT_ATTEMPTS: u32 = 4;
const MAX_WAIT: Duration = Duration::from_millis(32);

/// The attempts of one commit, until its deadline.
#[derive(Debug)]
pub(super) struct Attempts<'c> {
    context: &'c Context,
    made: u32,
    deadline: Deadline,
}

impl<'c> Attempts<'c> {
    pub(super) fn new(context: &'c Context) -> Self {
        Self { context, made: 0, deadline: Deadline::new(context.commit_deadline()) }
    }

    /// Returns how many attempts there were before this one.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Waits as long as is due before another attempt.
    ///
    /// # Errors
    /// [`Kind::Contention`] once the deadline has passed.
    pub(super) async fn next(&mut self) -> Result<(), Error> {
        self.made += 1;
        let wait = self.backoff();
        if !wait.is_zero() && Handle::try_current().is_ok() {
            tokio::time::sleep(wait).await;
        }
        if self.deadline.has_passed() { Err(self.contention()) } else { Ok(()) }
    }

    fn backoff(&self) -> Duration {
        let Some(later) = self.made.checked_sub(PROMPT_ATTEMPTS + 1) else {
            return Duration::ZERO;
        };
        let longest = Duration::from_millis(1 << later.min(5)).min(MAX_WAIT);
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(self.context.random() % micros)
    }

    /// Awaits `work`. Returns `None` if the deadline passes before it is done.
    pub(super) async fn within<F: Future + Unpin>(&mut self, mut work: F) -> Option<F::Output> {
        poll_fn(|cx| match Pin::new(&mut work).poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.deadline.poll(cx).map(|()| None),
        })
        .await
    }

    /// Returns the error of a store that has not answered until the deadline.
    pub(super) fn no_answer(&self) -> StoreError {
        let cause = format!("no answer within {:?}", self.deadline.span);
        StoreError::unavailable("hear from the store", cause)
    }

    pub(super) fn contention(&self) -> Error {
        Kind::Contention { attempts: self.made.max(1), span: self.deadline.span }.into()
    }
}

/// A moment that is fixed when something has to be waited for, so that what is done at once needs
/// neither clock nor timer.
#[derive(Debug)]
struct Deadline {
    span: Duration,
    at: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Deadline {
    fn new(span: Duration) -> Self {
        Self { span, at: None, timer: None }
    }

    fn at(&mut self) -> Instant {
        let span = self.span;
        *self.at.get_or_insert_with(|| Instant::now() + span)
    }

    fn has_passed(&mut self) -> bool {
        Instant::now() >= self.at()
    }

    /// Without a runtime there is no timer, and whoever polls has to stop by itself.
    fn poll(&mut self, cx: &mut Poller<'_>) -> Poll<()> {
        if Handle::try_current().is_err() {
            return Poll::Pending;
        }
        let at = self.at();
        self.timer.get_or_insert_with(|| Box::pin(sleep_until(at))).as_mut().poll(cx)
    }
}
