//! Writers of one session under random schedules. Without a runtime nothing goes on by itself: the
//! tests poll each request when the dice say so, drop some of them, and have the store wait, fail and
//! hang.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use cloakroom_core::adapter::RequestContext;
use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use cloakroom_core::{
    AppKeys, Error, MemoryStore, Session, Sessions, async_trait,
    cookie::CookieSettings,
    store::{Commit, Entry, Outcome, RecordKey, Store, StoreError},
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

/// What a commit meets at the store.
#[derive(Clone, Copy, Debug, Default)]
struct Weather {
    /// At most so many polls pass before the store acts, and again before it replies.
    longest_wait: usize,
    /// One commit in so many fails without being carried out. 0: none.
    fails: usize,
}

/// A store that takes its time.
#[derive(Clone, Debug)]
struct Slow {
    store: Arc<MemoryStore>,
    dice: Arc<Mutex<Dice>>,
    weather: Weather,
    commits: Arc<AtomicUsize>,
}

impl Slow {
    fn new(seed: u64, weather: Weather) -> Self {
        let dice = Arc::new(Mutex::new(Dice::new(seed)));
        Self { store: Arc::default(), dice, weather, commits: Arc::default() }
    }

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
impl Store for Slow {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.store.load(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.wait().await;
        let fails = self.weather.fails;
        if fails > 0 && self.dice.lock().unwrap().one_in(fails) {
            return Err(StoreError::unavailable("commit", "the dice said so"));
        }
        self.commits.fetch_add(1, Ordering::Relaxed);
        let outcome = self.store.commit(commit).await;
        self.wait().await;
        outcome
    }
}

/// An application with one visitor.
struct Stage {
    store: Slow,
    keys: AppKeys,
    sessions: Sessions,
    cookie: String,
}

impl Stage {
    fn new(seed: u64, weather: Weather) -> Self {
        let store = Slow::new(seed, weather);
        // The first commit goes to the store behind, so that it does not fail.
        let keys = AppKeys::random();
        let build = |store: Arc<dyn Store>| {
            Sessions::store(store, keys.clone())
                .cookie_settings(CookieSettings::development())
                .build()
                .unwrap()
        };
        let first = build(store.store.clone());
        let visit = RequestContext::new(&first);
        let none: &[(&str, &str)] = &[];
        let session = visit.session(none).now_or_never().unwrap().unwrap();
        session.put("n", 0).unwrap();
        let headers = visit.finish(200).now_or_never().unwrap().unwrap();
        let cookie = headers.set_cookie[0].split(';').next().unwrap().to_owned();
        Self { sessions: build(Arc::new(store.clone())), keys, store, cookie }
    }

    fn session(&self) -> Session {
        let headers = [("cookie", self.cookie.as_str())];
        RequestContext::new(&self.sessions)
            .session(headers.as_slice())
            .now_or_never()
            .unwrap()
            .unwrap()
    }

    fn count(&self) -> i64 {
        self.session().get("n").unwrap().unwrap()
    }
}

/// What one request does.
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
    let headers = [("cookie", stage.cookie.as_str())];
    let visit = RequestContext::new(&stage.sessions);
    let session = visit.session(headers.as_slice()).now_or_never().unwrap().unwrap();
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
        drop(visit.finish(200).await?);
        Ok(number)
    })
}

/// Polls the requests in random order until all have ended. One poll in `drops` drops the request
/// instead. 0: none.
fn run(requests: Vec<Running>, seed: u64, drops: usize) -> Vec<Done> {
    let mut dice = Dice::new(seed ^ 0xD1CE);
    let mut running: Vec<_> = requests.into_iter().enumerate().collect();
    let mut done: Vec<_> = running.iter().map(|_| Done::Dropped).collect();
    let mut cx = Context::from_waker(Waker::noop());
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
        if let Poll::Ready(result) = request.as_mut().poll(&mut cx) {
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
        let commits = stage.store.commits.load(Ordering::Relaxed);
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
            Deed::Destroy => assert_eq!(stage.store.store.len(), 0, "seed {seed}"),
            _ => assert_eq!(stage.store.store.len(), 1, "seed {seed}: {counted} before it moved"),
        }
    }
}

/// A change that cannot be made on the record fails alone.
#[test]
fn one_failure_does_not_touch_the_others() {
    for seed in 0..SEEDS {
        let stage = Stage::new(seed, Weather { longest_wait: 4, fails: 0 });
        let headers = [("cookie", stage.cookie.as_str())];
        let visit = RequestContext::new(&stage.sessions);
        let session = visit.session(headers.as_slice()).now_or_never().unwrap().unwrap();
        let failing: Running = Box::pin(async move {
            session.increment_now("n.is_a_number").await?;
            drop(visit.finish(200).await?);
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

/// A store that never replies to the first commit that it gets.
#[derive(Debug)]
struct Hanging {
    store: Arc<MemoryStore>,
    hung: AtomicUsize,
}

#[async_trait]
impl Store for Hanging {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.store.load(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        if self.hung.fetch_add(1, Ordering::SeqCst) == 0 {
            std::future::pending::<()>().await;
        }
        self.store.commit(commit).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_the_deadline_and_no_more() {
    let stage = Stage::new(1, Weather::default());
    let deadline = std::time::Duration::from_secs(2);
    let store = Hanging { store: stage.store.store.clone(), hung: AtomicUsize::new(0) };
    let sessions = Sessions::store(store, stage.keys.clone())
        .cookie_settings(CookieSettings::development())
        .commit_deadline(deadline)
        .build()
        .unwrap();
    let began = tokio::time::Instant::now();
    let mut finishing = Vec::new();
    for _ in 0..5 {
        let headers = [("cookie", stage.cookie.as_str())];
        let visit = RequestContext::new(&sessions);
        visit.session(headers.as_slice()).await.unwrap().increment("n").unwrap();
        finishing.push(tokio::spawn(async move { visit.finish(200).await }));
    }
    let mut failed = 0;
    for finish in finishing {
        if let Err(uncommitted) = finish.await.unwrap() {
            failed += 1;
            assert_eq!(uncommitted.error.http_status(), 503, "{uncommitted:?}");
        }
    }
    assert!(failed >= 1 && began.elapsed() <= deadline * 2, "{:?}", began.elapsed());
    let headers = [("cookie", stage.cookie.as_str())];
    let visit = RequestContext::new(&sessions);
    visit.session(headers.as_slice()).await.unwrap().increment("n").unwrap();
    drop(visit.finish(200).await.unwrap());
}
