//! Deleting expired rows, one process at a time.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use cloakroom_store::{
    Cursor, StoreError, SweepProgress, SweepRound, clock::Timestamp, sweep_in_background,
};

use tokio::{runtime::Handle, task::JoinHandle};

use crate::{
    dialect::{Dialect, Run},
    failure::Failure,
    inner::Inner,
    store::SqlStore,
    value::Value,
};

/// How long the right to sweep is held without being renewed. The next process waits this long after one
/// that was killed in the middle of a round.
const LEASE: Duration = Duration::from_mins(1);

/// How many rows a piece has at most, so that no statement runs for long.
const MAX_PIECE: usize = 20_000;

/// A round over all rows.
#[derive(Debug)]
pub(crate) struct Round {
    /// Names this process in the database.
    sweeper: i64,
    /// Where the next piece begins.
    from: Cursor,
    /// When the right to sweep ends. `None` between rounds.
    until: Option<Timestamp>,
}

impl Default for Round {
    fn default() -> Self {
        // Two processes with one number would sweep side by side, which is slower and nothing more.
        Self { sweeper: fastrand::i64(1..), from: Cursor::default(), until: None }
    }
}

impl<D: Dialect> Inner<D> {
    /// Starts the task that sweeps, unless it runs. A task ends with its runtime, and then the next use
    /// starts another.
    pub(crate) fn start(self: &Arc<Self>) {
        let Some(budget) = self.budget.filter(|_| Handle::try_current().is_ok()) else { return };
        let mut sweeping = self.sweeping.lock().unwrap_or_else(PoisonError::into_inner);
        if sweeping.as_ref().is_none_or(JoinHandle::is_finished) {
            let store = Arc::downgrade(self);
            *sweeping = Some(sweep_in_background(budget, move || store.upgrade().map(SqlStore)));
        }
    }

    pub(crate) async fn sweep(&self, limit: usize) -> Result<SweepProgress, StoreError> {
        self.ready().await?;
        let mut round = self.round.lock().await;
        let swept = self.sweep_piece(&mut round, limit.clamp(1, MAX_PIECE)).await;
        if swept.is_err() {
            // The next round begins at the start, and asks for the right to sweep.
            round.until = None;
            round.from = Cursor::default();
        }
        swept.map_err(|failure| self.failed("delete expired sessions in", failure))
    }

    async fn sweep_piece(&self, round: &mut Round, limit: usize) -> Result<SweepProgress, Failure> {
        if !self.may_sweep(round).await? {
            round.from = Cursor::default();
            return Ok(SweepProgress::new(0, 0, SweepRound::Busy));
        }
        let now = self.now();
        let (from, connections) = (round.from, &self.connections);
        let swept = self.repeat(|| self.dialect.sweep(connections, from, limit, now)).await;
        let (progress, next) = swept?;
        round.from = next;
        if progress.is_finished() {
            round.until = None;
            let shared = self.dialect.shared();
            connections.change(&shared.forget_logs, &[now.into()]).await?;
            connections.change(&shared.release_sweep, &[Value::Number(round.sweeper)]).await?;
        }
        Ok(progress)
    }

    /// Takes or renews the right to sweep. Returns whether this process has it.
    async fn may_sweep(&self, round: &mut Round) -> Result<bool, Failure> {
        let now = self.now();
        if round.until.is_some_and(|until| now + LEASE / 2 < until) {
            return Ok(true);
        }
        let until = now + LEASE;
        let values = [Value::Number(round.sweeper), until.into(), now.into()];
        let claim = || self.connections.change(&self.dialect.shared().claim_sweep, &values);
        let claimed = self.repeat(claim).await? > 0;
        round.until = claimed.then_some(until);
        Ok(claimed)
    }
}
