//! Deleting expired entries in the background.

use std::time::Duration;

use crate::{Sweep, SweepProgress};

/// How many pieces the work of a second is cut into, so that the disk has rests in between.
const PIECES: u32 = 10;
/// How many times faster than its budget a sweep becomes while most of what it sees has expired.
const MAX_SPEED: u32 = 64;

/// How fast and how often a store is swept in the background.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepBudget {
    /// How many entries are looked at in a second, as long as most of them are live. Default: 1,000,
    /// which takes a moment of each second and sweeps a million in 17 minutes.
    ///
    /// While more than half of what it sees has expired, the sweep doubles its speed with each tenth
    /// of this number, up to 64 times, because expired entries come as fast as visitors do. It slows
    /// down in the same steps. What the disk cannot do in that time it does later: there is one piece
    /// at a time, and a rest of a few milliseconds after it.
    pub entries_per_second: u32,
    /// The pause between two rounds over the whole store. Default: 10 minutes. What has expired is
    /// no session at once, swept or not: a longer pause costs room and nothing else.
    pub pause: Duration,
}

impl Default for SweepBudget {
    fn default() -> Self {
        Self { entries_per_second: 1_000, pause: Duration::from_secs(10 * 60) }
    }
}

/// How fast a sweep goes, by what it has found.
struct Pace {
    budget: SweepBudget,
    /// How many times faster than the budget.
    speed: u32,
}

impl Pace {
    fn new(budget: SweepBudget) -> Self {
        Self { budget, speed: 1 }
    }

    /// Returns how many entries the next piece looks at.
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

/// Sweeps the store that `store` returns, round after round, until it returns none.
pub fn sweep_in_background<S: Sweep>(
    budget: SweepBudget,
    store: impl Fn() -> Option<S> + Send + 'static,
) {
    let mut pace = Pace::new(budget);
    tokio::spawn(async move {
        loop {
            let Some(store) = store() else { return };
            let rest = match store.sweep(pace.piece()).await {
                Ok(swept) => pace.rest_after(swept),
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::time::Instant;

    use super::*;
    use crate::{Commit, Entry, Outcome, RecordKey, Store, StoreError, SweepRound, async_trait};

    /// A store whose entries are looked at one after the other.
    #[derive(Debug)]
    struct Counting {
        /// How many are left, the expired ones first.
        expired: usize,
        live: usize,
        /// How many were looked at, and when that was done.
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

    /// Sweeps so many entries for a while. Returns what was looked at in each second.
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

    /// A store that looks at more than it was asked for, of which less than half has expired.
    #[test]
    fn what_a_store_sees_beyond_its_limit_counts() {
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
        assert!(fast >= 100_000, "5,372 a second come in at worst: {seconds:?}");
        let slow = &seconds[10..];
        assert!(slow.iter().all(|count| (900..=1_100).contains(count)), "{seconds:?}");
    }
}
