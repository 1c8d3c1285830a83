//! Readers that wait for the end of their session, and are woken by it. The interval at which they look
//! by themselves is a day.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cloakroom::{
    AppKeys, FileStore, MemoryStore, ReadSession, Sessions, async_trait,
    clock::{Clock, FakeClock, SystemClock, Timestamp},
    store::{Commit, Entry, Outcome, RecordKey, StoreError},
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser, build},
    store::{Fault, Hooks},
};
use tokio::{
    task::{JoinHandle, yield_now},
    time::{Instant, timeout},
};

const DAY: Duration = Duration::from_hours(24);
/// The time in which a pushed ending arrives.
const SOON: Duration = Duration::from_millis(100);

/// A browser with a session of `virk`, and a reader of it that waits.
async fn waiting(sessions: &Sessions) -> (LocalBrowser, JoinHandle<()>) {
    let mut browser = LocalBrowser::new(sessions);
    browser.visit(|session| session.set_owner("virk").unwrap()).await;
    let reader = browser.open().await.read_only();
    let waiting = tokio::spawn(async move { reader.ended(DAY).await });
    // It has looked now.
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert!(!waiting.is_finished());
    (browser, waiting)
}

async fn ends(waiting: JoinHandle<()>, way: &str) {
    timeout(SOON, waiting).await.unwrap_or_else(|_| panic!("{way}")).unwrap();
}

#[tokio::test]
async fn every_way_to_end_a_session_wakes_its_readers() {
    let app = LocalApp::with((), |builder| builder.max_sessions(Some(2)));
    let sessions = &app.sessions;

    let (mut browser, reader) = waiting(sessions).await;
    browser.visit(|session| session.destroy().unwrap()).await;
    ends(reader, "a logout").await;

    let (mut browser, reader) = waiting(sessions).await;
    browser.visit(|session| session.regenerate().unwrap()).await;
    ends(reader, "a regenerate").await;
    browser.visit(|session| session.destroy().unwrap()).await;

    let (mut browser, reader) = waiting(sessions).await;
    let mut late = browser.clone();
    browser.visit(|session| session.put("n", 1).unwrap()).await;
    late.visit(|session| session.regenerate().unwrap()).await;
    ends(reader, "a regenerate after a lost race").await;
    late.visit(|session| session.destroy().unwrap()).await;

    let (browser, reader) = waiting(sessions).await;
    let handle = browser.open().await.handle().unwrap();
    assert!(sessions.admin().unwrap().destroy(&handle).await.unwrap());
    ends(reader, "an operator").await;

    let (_, reader) = waiting(sessions).await;
    let mut own = LocalBrowser::new(sessions);
    own.visit(|session| session.set_owner("virk").unwrap()).await;
    let session = own.open().await;
    assert_eq!(session.owner_sessions().unwrap().destroy_others().await.unwrap(), 1);
    ends(reader, "a logout everywhere else").await;
    own.visit(|session| session.destroy().unwrap()).await;

    let (_, reader) = waiting(sessions).await;
    for _ in 0..2 {
        // Sign-ins at the same time do not end each other.
        app.clock.advance(Duration::from_mins(1));
        let mut other = LocalBrowser::new(sessions);
        other.visit(|session| session.set_owner("virk").unwrap()).await;
    }
    ends(reader, "the limit of sessions").await;
}

#[tokio::test]
async fn a_session_in_a_file_ends_its_readers_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path()).unwrap();
    let clock = Arc::new(FakeClock::at(SystemClock.now()));
    let sessions = build(Sessions::builder(store, AppKeys::random()), &clock);
    let (mut browser, reader) = waiting(&sessions).await;
    browser.visit(|session| session.destroy().unwrap()).await;
    ends(reader, "a logout").await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_values_wakes_nobody() {
    let app = LocalApp::new();
    let (mut browser, reader) = waiting(&app.sessions).await;
    app.store.calls();
    browser.visit(|session| session.put("n", 1).unwrap()).await;
    assert_eq!(app.store.calls(), ["load", "replace"]);
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(app.store.calls(), [""; 0]);
    assert!(!reader.is_finished());
}

/// A store that goes on after a number of polls that differs from call to call.
#[derive(Debug)]
struct Slow(AtomicU64);

impl Slow {
    async fn wait(&self) {
        let drawn = self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        let mixed = (drawn ^ (drawn >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        for _ in 0..(mixed >> 60) {
            yield_now().await;
        }
    }
}

#[async_trait]
impl Hooks for Slow {
    async fn before_load(&self) -> Result<(), StoreError> {
        self.wait().await;
        Ok(())
    }

    async fn after_load(
        &self,
        _: &MemoryStore,
        _: &RecordKey,
        _: Option<&Entry>,
    ) -> Result<(), StoreError> {
        self.wait().await;
        Ok(())
    }

    async fn before_commit(
        &self,
        _: &MemoryStore,
        _: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        self.wait().await;
        Ok(None)
    }

    async fn after_commit(&self) {
        self.wait().await;
    }
}

/// The clock stands still unless all tasks wait, so a lost wake-up takes a day.
#[tokio::test(start_paused = true)]
async fn no_schedule_loses_an_ending() {
    for seed in 0..2_000 {
        let app = LocalApp::with(Slow(AtomicU64::new(seed << 32)), |builder| builder);
        let mut browser = app.browser_with(|session| session.put("n", 1).unwrap()).await;
        let reader = browser.open().await.read_only();
        let begun = Instant::now();
        let logout = browser.visit(|session| match seed % 2 {
            0 => session.destroy().unwrap(),
            _ => session.regenerate().unwrap(),
        });
        tokio::join!(reader.ended(DAY), logout);
        assert_eq!(begun.elapsed(), Duration::ZERO, "seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_lose_no_ending() {
    let app = LocalApp::new();
    for _ in 0..500 {
        let mut browser = app.browser_with(|session| session.put("n", 1).unwrap()).await;
        let reader = browser.open().await.read_only();
        let waiting = tokio::spawn(async move { reader.ended(DAY).await });
        browser.visit(|session| session.destroy().unwrap()).await;
        timeout(Duration::from_secs(10), waiting).await.expect("woken").unwrap();
    }
}

/// Between the store's commit and the moment in which its own request knows about it, the reader finds
/// its session under the new key.
#[tokio::test(start_paused = true)]
async fn a_reader_survives_its_own_regenerate_and_ends_after_it() {
    for seed in 0..200 {
        let app = LocalApp::with(Slow(AtomicU64::new(seed << 32)), |builder| builder);
        let mut browser = app.browser_with(|session| session.put("n", 1).unwrap()).await;
        let (context, session) = browser.begin().await;
        session.regenerate().unwrap();
        let reader = session.read_only();
        let waiting = tokio::spawn(async move { reader.ended(DAY).await });
        browser.finish(context).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!waiting.is_finished(), "seed {seed}");
        browser.visit(|session| session.destroy().unwrap()).await;
        ends(waiting, "a logout").await;
    }
}

#[tokio::test]
async fn a_reader_from_before_the_first_commit_is_woken() {
    let app = LocalApp::new();
    let mut browser = app.browser();
    let (context, session) = browser.begin().await;
    session.put("n", 1).unwrap();
    let reader = session.read_only();
    let waiting = tokio::spawn(async move { reader.ended(DAY).await });
    yield_now().await;
    browser.finish(context).await;
    browser.visit(|session| session.destroy().unwrap()).await;
    ends(waiting, "a logout").await;
}

/// The time of a paused runtime.
#[derive(Debug)]
struct PausedClock(Instant);

impl Clock for PausedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0) + self.0.elapsed()
    }
}

/// Returns a reader of a session that has just begun and ends after an hour without use.
async fn reader(sessions: &Sessions) -> ReadSession {
    let (context, session) = LocalBrowser::new(sessions).begin().await;
    session.put("n", 1).unwrap();
    drop(context.finish(200).await.unwrap());
    session.read_only()
}

#[tokio::test(start_paused = true)]
async fn a_reader_wakes_at_the_deadline() {
    const HOUR: Duration = Duration::from_hours(1);
    let clock = Arc::new(PausedClock(Instant::now()));
    let store = MemoryStore::with_clock(clock.clone());
    for driver in [store.into(), cloakroom::Driver::Cookie] {
        let builder = Sessions::builder(driver, AppKeys::random()).clock(clock.clone());
        let sessions = builder.idle_timeout(HOUR).build().unwrap();
        let reader = reader(&sessions).await;
        let begun = Instant::now();
        reader.ended(DAY).await;
        let took = begun.elapsed();
        assert!(took >= HOUR && took < HOUR + Duration::from_millis(10), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_look_that_fails_is_repeated_soon() {
    let app = LocalApp::faulty();
    let browser = app.browser_with(|session| session.put("n", 1).unwrap()).await;
    let session = browser.open().await;
    let (reader, handle) = (session.read_only(), session.handle().unwrap());
    assert!(app.sessions.admin().unwrap().destroy(&handle).await.unwrap());
    app.store.on_load(Fault::Failed);
    let begun = Instant::now();
    let repaired = async {
        tokio::time::sleep(Duration::from_mins(1)).await;
        app.store.on_load(Fault::None);
    };
    tokio::join!(reader.ended(DAY), repaired);
    assert!(begun.elapsed() <= Duration::from_secs(62), "{:?}", begun.elapsed());
}
