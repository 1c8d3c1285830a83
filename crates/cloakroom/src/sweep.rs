//! Deleting what has expired, in the background.

use std::time::Duration;

use crate::store::Sweep;

/// How many pieces the work of a second is cut into, so that the disk has rests in between.
const PIECES: u32 = 10;

/// How fast and how often a store is swept in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepBudget {
    /// So many entries are looked at in a second, at most. Default: 1,000, which takes a moment of
    /// each second and sweeps a million in 17 minutes.
    pub entries_per_second: u32,
    /// The pause between two rounds over the whole store. Default: 10 minutes. What has expired is
    /// no session at once, swept or not: a longer pause costs room and nothing else.
    pub pause: Duration,
}

impl Default for SweepBudget {
    fn default() -> Self {
        Self { entries_per_second: 1_000, pause: Duration::from_mins(10) }
    }
}

/// Sweeps the store that `store` answers, round after round, until it answers none.
pub(crate) fn in_background<S: Sweep>(
    budget: SweepBudget,
    store: impl Fn() -> Option<S> + Send + 'static,
) {
    let piece = (budget.entries_per_second / PIECES).max(1) as usize;
    tokio::spawn(async move {
        loop {
            let Some(store) = store() else { return };
            let rest = match store.sweep(piece).await {
                Ok(swept) if swept.finished => budget.pause,
                Ok(_) => Duration::from_secs(1) / PIECES,
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(%error, cause, "a sweep of expired sessions failed");
                    budget.pause
                }
            };
            drop(store);
            tokio::time::sleep(rest).await;
        }
    });
}
