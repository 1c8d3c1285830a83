//! Writers of one session under random schedules. Without a runtime nothing goes on by itself: the
//! tests poll each request when the dice say so, drop some of them, and have the store wait, fail and
//! hang.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use cloakroom::{
    Error, MemoryStore, Session, async_trait,
    store::{Commit, Outcome, StoreError},
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser},
    store::{Fault, Faults, Hooks},
};
use futures_util::FutureExt;

/// A sequence that looks random and is the same for the same seed.
#[derive(Debug)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// The behaviour of the store.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    /// At most so many polls pass before the store acts, and again before it replies.
    longest_wait: usize,
    /// One commit in so many fails without being carried out. 0: none.
    fails: usize,
}

/// A store that takes its time.
#[derive(Debug)]
struct Slow {
    dice: Mutex<Dice>,
    weather: Weather,
    /// Whether the browser's session is there.
    has_begun: AtomicBool,
    /// Commits that were carried out.
    commits: AtomicUsize,
}

impl Slow {
    async fn wait(&self) {
        let mut polls = self.dice.lock().unwrap().below(self.weather.longest_wait + 1);
        std::future::poll_fn(|_| {
            let is_over = polls == 0;
            polls = polls.saturating_sub(1);
            if is_over { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

#[async_trait]
impl Hooks for Slow {
    async fn before_commit(
        &self,
        _: &MemoryStore,
        _: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        if !self.has_begun.swap(true, Ordering::Relaxed) {
            return Ok(None);
        }
        self.wait().await;
        let fails = self.weather.fails;
        if fails > 0 && self.dice.lock().unwrap().one_in(fails) {
            return Err(StoreError::unavailable("commit", "the dice said so"));
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(None)
    }

    async fn after_commit(&self) {
        if self.commits.load(Ordering::Relaxed) > 0 {
            self.wait().await;
        }
    }
}

/// An application, and a browser whose session has `n` = 0.
struct Stage {
    app: LocalApp<Slow>,
    browser: LocalBrowser,
}

impl Stage {
    fn new(seed: u64, weather: Weather) -> Self {
        let slow = Slow {
            dice: Mutex::new(Dice::new(seed)),
            weather,
            has_begun: AtomicBool::default(),
            commits: AtomicUsize::default(),
        };
        let app = LocalApp::with(slow, |builder| builder);
        let browser = app.browser_with(|session| session.put("n", 0).unwrap());
        Self { browser: browser.now_or_never().unwrap(), app }
    }

    fn session(&self) -> Session {
        self.browser.open().now_or_never().unwrap()
    }

    fn count(&self) -> i64 {
        self.session().get("n").unwrap().unwrap()
    }

    fn commits(&self) -> usize {
        self.app.store.hooks.commits.load(Ordering::Relaxed)
    }
}

/// The change of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Increment,
    IncrementNow,
    Regenerate,
    Destroy,
}

#[derive(Debug)]
enum Done {
    /// Committed, with the number where the deed returns one.
    Well(Option<i64>),
    Failed(Error),
    /// Dropped before its end.
    Dropped,
}

type Running = Pin<Box<dyn Future<Output = Result<Option<i64>, Error>>>>;

/// A request that has loaded its session and not yet ended.
fn begin(stage: &Stage, deed: Deed) -> Running {
    let (context, session) = stage.browser.begin().now_or_never().unwrap();
    Box::pin(async move {
        let number = match deed {
            Deed::Increment => {
                session.increment("n")?;
                None
            }
            Deed::IncrementNow => Some(session.increment_now("n").await?),
            Deed::Regenerate => {
                session.regenerate()?;
                None
            }
            Deed::Destroy => {
                session.destroy()?;
                None
            }
        };
        drop(context.finish(200).await?);
        Ok(number)
    })
}

/// Polls the requests in random order until all have ended. One poll in `drops` drops the request
/// instead. 0: none.
fn run(requests: Vec<Running>, seed: u64, drops: usize) -> Vec<Done> {
    let mut dice = Dice::new(seed ^ 0xD1CE);
    let mut running: Vec<_> = requests.into_iter().enumerate().collect();
    let mut done: Vec<_> = running.iter().map(|_| Done::Dropped).collect();
    let mut context = Context::from_waker(Waker::noop());
    let mut polls = 0;
    while !running.is_empty() {
        polls += 1;
        assert!(polls < 1_000_000, "a request waits for ever: {} are left", running.len());
        let index = dice.below(running.len());
        if drops > 0 && dice.one_in(drops) {
            drop(running.swap_remove(index));
            continue;
        }
        let (number, request) = &mut running[index];
        if let Poll::Ready(result) = request.as_mut().poll(&mut context) {
            done[*number] = result.map_or_else(Done::Failed, Done::Well);
            drop(running.swap_remove(index));
        }
    }
    done
}

fn well(done: &[Done]) -> usize {
    done.iter().filter(|done| matches!(done, Done::Well(_))).count()
}

const SEEDS: u64 = 400;

#[test]
fn increments_add_up_whoever_leads() {
    for seed in 0..SEEDS {
        let stage = Stage::new(seed, Weather { longest_wait: 5, fails: 0 });
        let requests = (0..20).map(|_| begin(&stage, Deed::Increment)).collect();
        let done = run(requests, seed, 0);
        assert_eq!(well(&done), 20, "seed {seed}: {done:?}");
        assert_eq!(stage.count(), 20, "seed {seed}");
        let commits = stage.commits();
        assert!(commits < 20, "seed {seed}: {commits} commits of 20 requests, so none waited");
    }
}

#[test]
fn a_request_whose_commit_failed_is_not_counted() {
    for seed in 0..SEEDS {
        let stage = Stage::new(seed, Weather { longest_wait: 3, fails: 4 });
        let requests = (0..20).map(|_| begin(&stage, Deed::Increment)).collect();
        let done = run(requests, seed, 0);
        assert_eq!(stage.count(), i64::try_from(well(&done)).unwrap(), "seed {seed}: {done:?}");
    }
}

#[test]
fn a_leader_that_is_dropped_hands_over() {
    for seed in 0..SEEDS {
        let stage = Stage::new(seed, Weather { longest_wait: 4, fails: 0 });
        let requests = (0..20).map(|_| begin(&stage, Deed::Increment)).collect();
        let done = run(requests, seed, 15);
        // What was dropped, or was in flight with a leader that was, may be carried out or not.
        let (sure, count) = (well(&done), usize::try_from(stage.count()).unwrap());
        let dropped = done.iter().filter(|done| matches!(done, Done::Dropped)).count();
        let failed: Vec<_> = done
            .iter()
            .filter_map(|done| if let Done::Failed(error) = done { Some(error) } else { None })
            .collect();
        assert!(failed.iter().all(|error| error.is_unavailable()), "seed {seed}: {failed:?}");
        assert!(
            (sure..=sure + dropped + failed.len()).contains(&count),
            "seed {seed}: {sure} sure, {dropped} dropped, {} unknown, counted {count}",
            failed.len()
        );
        // The queue is free again.
        let after = run(vec![begin(&stage, Deed::Increment)], seed, 0);
        assert_eq!(well(&after), 1, "seed {seed}: {after:?}");
    }
}

#[test]
fn no_two_requests_get_the_same_number() {
    for seed in 0..SEEDS {
        let stage = Stage::new(seed, Weather { longest_wait: 4, fails: 9 });
        let requests = (0..20).map(|_| begin(&stage, Deed::IncrementNow)).collect();
        let done = run(requests, seed, 0);
        let numbers: Vec<_> = done
            .iter()
            .filter_map(|done| if let Done::Well(number) = done { *number } else { None })
            .collect();
        let different: BTreeSet<_> = numbers.iter().collect();
        assert_eq!(different.len(), numbers.len(), "seed {seed}: {numbers:?}");
        assert!(numbers.iter().all(|number| *number <= stage.count()), "seed {seed}");
    }
}

#[test]
fn what_comes_after_a_barrier_finds_the_session_gone() {
    for seed in 0..SEEDS {
        let stage = Stage::new(seed, Weather { longest_wait: 4, fails: 0 });
        let barrier = if seed % 2 == 0 { Deed::Destroy } else { Deed::Regenerate };
        let deeds = (0..15).map(|n| if n == 7 { barrier } else { Deed::IncrementNow });
        let done = run(deeds.map(|deed| begin(&stage, deed)).collect(), seed, 0);
        let counted = done.iter().filter(|done| matches!(done, Done::Well(Some(_)))).count();
        for done in &done {
            if let Done::Failed(error) = done {
                assert_eq!(error.code(), "read_only", "seed {seed}: {error:?}");
            }
        }
        assert!(stage.session().is_new(), "seed {seed}: the old token is worth nothing");
        match barrier {
            Deed::Destroy => assert_eq!(stage.app.store.records.len(), 0, "seed {seed}"),
            _ => assert_eq!(
                stage.app.store.records.len(),
                1,
                "seed {seed}: {counted} before it moved"
            ),
        }
    }
}

/// A change that cannot be made on the record fails alone.
#[test]
fn one_failure_does_not_touch_the_others() {
    for seed in 0..SEEDS {
        let stage = Stage::new(seed, Weather { longest_wait: 4, fails: 0 });
        let (context, session) = stage.browser.begin().now_or_never().unwrap();
        let failing: Running = Box::pin(async move {
            session.increment_now("n.is_a_number").await?;
            drop(context.finish(200).await?);
            Ok(None)
        });
        let mut requests: Vec<_> = (0..10).map(|_| begin(&stage, Deed::Increment)).collect();
        requests.insert(5, failing);
        let done = run(requests, seed, 0);
        let Done::Failed(error) = &done[5] else { panic!("seed {seed}: {done:?}") };
        assert_eq!(error.code(), "not_an_object", "seed {seed}");
        assert_eq!((well(&done), stage.count()), (10, 10), "seed {seed}: {done:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_the_deadline_and_no_more() {
    let deadline = Duration::from_secs(2);
    let app = LocalApp::with(Faults::default(), |builder| builder.commit_deadline(deadline));
    let mut browser = app.browser_with(|session| session.put("n", 0).unwrap()).await;
    app.store.on_commit(Fault::Hangs);
    let began = tokio::time::Instant::now();
    let mut finishing = Vec::new();
    for _ in 0..5 {
        let (context, session) = browser.begin().await;
        session.increment("n").unwrap();
        finishing.push(tokio::spawn(async move { context.finish(200).await }));
    }
    for finish in finishing {
        let uncommitted = finish.await.unwrap().unwrap_err();
        assert_eq!(uncommitted.error.http_status(), 503, "{uncommitted:?}");
    }
    assert!(began.elapsed() <= deadline * 2, "{:?}", began.elapsed());
    app.store.on_commit(Fault::None);
    browser.visit(|session| _ = session.increment("n").unwrap()).await;
}
