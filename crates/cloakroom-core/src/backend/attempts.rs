//! Repeated attempts at work that races with other processes.

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

/// The number of attempts between two waits. A wait lasts for a random part of a span that grows from
/// wait to wait.
///
/// The first attempt after a wait usually fails, because other writers have replaced the record during
/// the wait. Its conflict returns the new record, so the immediate attempts after it can succeed.
const BURST: u32 = 4;
/// The longest time until a deadline, because a clock cannot count to the end of any time.
const MAX_SPAN: Duration = Duration::from_secs(365 * 24 * 3_600);
/// The longest wait.
const MAX_WAIT: Duration = Duration::from_millis(32);

/// The attempts of one commit, until its deadline.
#[derive(Debug)]
pub(super) struct Attempts<'c> {
    context: &'c Context,
    made: u32,
    /// Set at the first wait, so that work without a wait needs neither clock nor timer.
    deadline: Option<Instant>,
    /// The latest deadline of the other requests that the commit is made for.
    latest: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl<'c> Attempts<'c> {
    pub(super) fn new(context: &'c Context) -> Self {
        Self { context, made: 0, deadline: None, latest: None, timer: None }
    }

    /// Returns the number of attempts before this one.
    pub(super) fn made(&self) -> u32 {
        self.made
    }

    /// Returns the deadline, after which no attempt begins.
    pub(super) fn deadline(&mut self) -> Instant {
        let span = self.context.commit_deadline().min(MAX_SPAN);
        *self.deadline.get_or_insert_with(|| Instant::now() + span)
    }

    /// Lets the current attempt last until `latest`, the deadline of another request that it is made
    /// for. Further attempts depend on the own deadline alone. So a request waits for twice its own
    /// time at most, regardless of the number of requests that it commits for.
    pub(super) fn extend(&mut self, latest: Instant) {
        if self.latest.is_none_or(|before| before < latest) {
            self.latest = Some(latest);
            self.timer = None;
        }
    }

    /// Waits before the next attempt, if a wait is due.
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

    /// Awaits `work`. Returns `None` if the deadline passes first.
    pub(super) fn within<F: Future + Unpin>(
        &mut self,
        mut work: F,
    ) -> impl Future<Output = Option<F::Output>> {
        poll_fn(move |cx| match Pin::new(&mut work).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => self.poll_deadline(cx).map(|()| None),
        })
    }

    /// Polls the timer of the deadline. Without a runtime there is no timer, so this stays pending and
    /// the caller has to stop by itself.
    fn poll_deadline(&mut self, cx: &mut Poller<'_>) -> Poll<()> {
        if Handle::try_current().is_err() {
            return Poll::Pending;
        }
        let own = self.deadline();
        let end = self.latest.map_or(own, |latest| latest.max(own));
        self.timer.get_or_insert_with(|| Box::pin(sleep_until(end))).as_mut().poll(cx)
    }

    /// Returns the error of a store that did not reply before the deadline.
    pub(super) fn timed_out(&self) -> StoreError {
        let cause = format!("no reply within {:?}", self.context.commit_deadline());
        StoreError::unavailable("wait for the store", cause)
    }

    /// Returns the error of a commit that other writers kept from succeeding before the deadline.
    pub(super) fn contention(&self) -> Error {
        let span = self.context.commit_deadline();
        Kind::Contention { attempts: self.made.max(1), span }.into()
    }
}
