//! Deleting expired entries in the background.

use std::time::Duration;

use crate::{Sweep, SweepProgress};

/// The number of pieces for the work of a second, so that the disk can rest in between.
const PIECES: u32 = 10;
/// The largest multiple of the budget at which a sweep runs while most entries have expired.
const MAX_SPEED: u32 = 64;

/// How fast and how often a store is swept in the background.
///
/// ```
/// use std::time::Duration;
/// use cloakroom_store::SweepBudget;
///
/// let budget = SweepBudget { pause: Duration::from_secs(60 * 60), ..SweepBudget::default() };
/// assert_eq!(budget.entries_per_second, 1_000);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepBudget {
    /// The number of entries that the sweep checks per second, as long as most of them are live.
    /// Default: 1,000, which sweeps a million entries in 17 minutes and takes a small part of each
    /// second.
    ///
    /// The sweep works in pieces of a tenth of this number. It doubles its speed after each piece of
    /// which more than half has expired, up to 64 times this number, because expired entries appear as
    /// fast as visitors come. It slows down in the same steps. On a slow disk the pieces take longer:
    /// they never overlap, and a rest of a few milliseconds follows each.
    pub entries_per_second: u32,
    /// The pause between two rounds over the whole store. Default: 10 minutes. A longer pause needs
    /// more space and has no other effect, because an expired entry counts as absent before it is
    /// swept.
    pub pause: Duration,
}

impl Default for SweepBudget {
    fn default() -> Self {
        Self { entries_per_second: 1_000, pause: Duration::from_secs(10 * 60) }
    }
}

/// The speed of a sweep, which follows the share of expired entries.
struct Pace {
    budget: SweepBudget,
    /// The multiple of the budget.
    speed: u32,
}

impl Pace {
    fn new(budget: SweepBudget) -> Self {
        Self { budget, speed: 1 }
    }

    /// Returns the number of entries in a piece.
    fn piece(&self) -> usize {
        (self.budget.entries_per_second / PIECES).max(1) as usize
    }

    /// Returns how long to rest after a piece.
    fn rest_after(&mut self, swept: SweepProgress) -> Duration {
        let mostly_expired = swept.removed > swept.seen / 2;
        self.speed =
            if mostly_expired { (self.speed * 2).min(MAX_SPEED) } else { (self.speed / 2).max(1) };
        if swept.is_finished() {
            self.budget.pause
        } else {
            Duration::from_secs(1) / PIECES / self.speed
        }
    }
}

/// Sweeps the store that `store` returns, round after round, in a task of the tokio runtime. The task
/// ends when `store` returns `None`.
///
/// # Panics
/// Outside of a tokio runtime.
///
/// ```
/// use std::sync::Arc;
/// use cloakroom_store::{MemoryStore, SweepBudget, sweep_in_background};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
/// let store = Arc::new(MemoryStore::new());
/// // The task must not keep the store alive.
/// let weak = Arc::downgrade(&store);
/// sweep_in_background(SweepBudget::default(), move || weak.upgrade());
/// # });
/// ```
pub fn sweep_in_background<S: Sweep>(
    budget: SweepBudget,
    store: impl Fn() -> Option<S> + Send + 'static,
) -> tokio::task::JoinHandle<()> {
    let mut pace = Pace::new(budget);
    tokio::spawn(async move {
        loop {
            let Some(store) = store() else { return };
            let rest = match store.sweep(pace.piece()).await {
                Ok(swept) => pace.rest_after(swept),
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::warn!(
                        %error,
                        cause,
                        "a sweep of expired sessions failed: the next one begins after the pause"
                    );
                    budget.pause
                }
            };
            drop(store);
            tokio::time::sleep(rest).await;
        }
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;

    use super::*;
    use crate::{Commit, Entry, Outcome, RecordKey, Store, StoreError, SweepRound, async_trait};

    /// A store whose sweep reaches the expired entries before the live ones.
    #[derive(Debug)]
    struct Counting {
        /// The number of expired entries left.
        expired: usize,
        /// The number of live entries left.
        live: usize,
        /// The number of entries in each piece, and when it was swept.
        seen: Vec<(usize, Instant)>,
    }

    #[derive(Clone, Debug)]
    struct Counter(Arc<Mutex<Counting>>);

    #[async_trait]
    impl Store for Counter {
        async fn load(&self, _: &RecordKey) -> Result<Option<Entry>, StoreError> {
            Ok(None)
        }

        async fn commit(&self, _: Commit) -> Result<Outcome, StoreError> {
            Ok(Outcome::Gone)
        }
    }

    #[async_trait]
    impl Sweep for Counter {
        async fn sweep(&self, limit: usize) -> Result<SweepProgress, StoreError> {
            let mut store = self.0.lock().unwrap();
            let removed = limit.min(store.expired);
            store.expired -= removed;
            let live = (limit - removed).min(store.live);
            store.live -= live;
            store.seen.push((removed + live, Instant::now()));
            let is_last = store.expired + store.live == 0;
            let round = if is_last { SweepRound::Finished } else { SweepRound::Ongoing };
            Ok(SweepProgress::new(removed + live, removed, round))
        }
    }

    /// Sweeps a store for some seconds. Returns the number of checked entries in each second.
    async fn swept(expired: usize, live: usize, seconds: u64) -> Vec<usize> {
        let counter = Counter(Arc::new(Mutex::new(Counting { expired, live, seen: Vec::new() })));
        let began = Instant::now();
        let running = Arc::new(Mutex::new(Some(counter.clone())));
        let stop = running.clone();
        sweep_in_background(SweepBudget::default(), move || running.lock().unwrap().clone());
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        *stop.lock().unwrap() = None;
        let seen = std::mem::take(&mut counter.0.lock().unwrap().seen);
        let mut each = vec![0; usize::try_from(seconds).unwrap()];
        for (count, at) in seen {
            let second = usize::try_from((at - began).as_secs()).unwrap();
            if let Some(second) = each.get_mut(second) {
                *second += count;
            }
        }
        each
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_of_live_entries_keeps_to_its_budget() {
        let seconds = swept(0, 100_000, 5).await;
        assert!(seconds.iter().all(|count| (900..=1_100).contains(count)), "{seconds:?}");
    }

    /// A store may check more entries than the limit. The share of expired ones refers to all of them.
    #[test]
    fn entries_checked_beyond_the_limit_count_for_the_speed() {
        let budget = SweepBudget::default();
        let mut pace = Pace::new(budget);
        assert_eq!(pace.piece(), 100);
        let swept = |removed| SweepProgress::new(128, removed, SweepRound::Ongoing);
        let rest = Duration::from_millis(100);
        assert_eq!((pace.rest_after(swept(52)), pace.rest_after(swept(64))), (rest, rest));
        assert_eq!(pace.rest_after(swept(65)), rest / 2);
        let nothing = SweepProgress::new(0, 0, SweepRound::Busy);
        assert_eq!((pace.rest_after(nothing), pace.speed), (budget.pause, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_sweep_of_expired_entries_speeds_up_and_slows_down_again() {
        let seconds = swept(100_000, 100_000, 20).await;
        let fast: usize = seconds[..4].iter().sum();
        assert!(fast >= 100_000, "the sweep is slower than visitors come: {seconds:?}");
        let slow = &seconds[10..];
        assert!(slow.iter().all(|count| (900..=1_100).contains(count)), "{seconds:?}");
    }
}
