//! How long something that races with other processes is tried again.

use std::{
    future::poll_fn,
    pin::Pin,
    task::{Context as Poller, Poll},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{Instant, Sleep, sleep, sleep_until},
};

use crate::{
    backend::context::Context,
    crypto::random::random_number,
    error::{Error, Kind},
};
use cloakroom_store::StoreError;

/// How many attempts follow each other at once, before a random part of a growing span is waited.
///
/// An attempt after a wait starts from a record that others have replaced meanwhile. It fails, but
/// its answer is the new record, and the prompt attempts that follow have a chance.
const BURST: u32 = 4;
const MAX_WAIT: Duration = Duration::from_millis(32);

/// The attempts of one commit, until its deadline.
#[derive(Debug)]
pub(super) struct Attempts<'c> {
    context: &'c Context,
    made: u32,
    /// Fixed when something has to be waited for, so that what is done at once needs neither clock
    /// nor timer.
    deadline: Option<Instant>,
    /// The latest deadline of those that the commit is made for as well.
    latest: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'c> Attempts<'c> {
    pub(super) fn new(context: &'c Context) -> Self {
        Self { context, made: 0, deadline: None, latest: None, timer: None }
    }

    /// Returns how many attempts there were before this one.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Returns when the last attempt begins.
    pub(super) fn deadline(&mut self) -> Instant {
        let span = self.context.commit_deadline();
        *self.deadline.get_or_insert_with(|| Instant::now() + span)
    }

    /// Gives an attempt that is under way until `latest`, the deadline of another request that it is
    /// made for. Whether another attempt follows is decided by the own deadline alone, so a request
    /// waits twice as long as it may by itself at most, however many it commits for.
    pub(super) fn extend(&mut self, latest: Instant) {
        if self.latest.is_none_or(|before| before < latest) {
            self.latest = Some(latest);
            self.timer = None;
        }
    }

    /// Waits as long as is due before another attempt.
    ///
    /// # Errors
    /// [`Kind::Contention`] once the deadline has passed.
    pub(super) async fn next(&mut self) -> Result<(), Error> {
        self.made += 1;
        let wait = self.backoff();
        if !wait.is_zero() && Handle::try_current().is_ok() {
            Box::pin(sleep(wait)).await;
        }
        if Instant::now() >= self.deadline() { Err(self.contention()) } else { Ok(()) }
    }

    fn backoff(&self) -> Duration {
        if !self.made.is_multiple_of(BURST) {
            return Duration::ZERO;
        }
        let waits_before = self.made / BURST - 1;
        let longest = Duration::from_millis(1 << waits_before.min(5)).min(MAX_WAIT);
        let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        Duration::from_micros(random_number() % micros)
    }

    /// Awaits `work`. Returns `None` if the deadline passes before it is done.
    pub(super) fn within<F: Future + Unpin>(
        &mut self,
        mut work: F,
    ) -> impl Future<Output = Option<F::Output>> {
        poll_fn(move |cx| match Pin::new(&mut work).poll(cx) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending => self.poll_deadline(cx).map(|()| None),
        })
    }

    /// Without a runtime there is no timer, and whoever polls has to stop by itself.
    fn poll_deadline(&mut self, cx: &mut Poller<'_>) -> Poll<()> {
        if Handle::try_current().is_err() {
            return Poll::Pending;
        }
        let own = self.deadline();
        let end = self.latest.map_or(own, |latest| latest.max(own));
        self.timer.get_or_insert_with(|| Box::pin(sleep_until(end))).as_mut().poll(cx)
    }

    /// Returns the error of a store that has not answered until the deadline.
    pub(super) fn no_answer(&self) -> StoreError {
        let cause = format!("no answer within {:?}", self.context.commit_deadline());
        StoreError::unavailable("hear from the store", cause)
    }

    pub(super) fn contention(&self) -> Error {
        let span = self.context.commit_deadline();
        Kind::Contention { attempts: self.made.max(1), span }.into()
    }
}
