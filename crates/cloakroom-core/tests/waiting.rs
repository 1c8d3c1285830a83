//! Commits that wait for another commit of their session, in an order that each test sets: the store
//! holds every commit back until the test lets it go on.
#![allow(clippy::incompatible_msrv, reason = "tests run on the newest Rust")]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cloakroom_core::{
    AppKeys, Error, MemoryStore, Session, Sessions,
    adapter::{RequestContext, RequestLine, ResponseHeaders, Uncommitted},
    async_trait,
    clock::FakeClock,
    cookie::CookieSettings,
    store::{Commit, Entry, Outcome, OwnerIndex, RecordKey, Store, StoreError},
};
use tokio::{sync::Semaphore, task::JoinHandle};

/// A memory store whose commits need a permit each.
#[derive(Clone, Debug)]
struct Gated {
    store: Arc<MemoryStore>,
    gate: Arc<Semaphore>,
    commits: Arc<AtomicUsize>,
    /// The next commit fails without being carried out.
    fails_next: Arc<AtomicBool>,
    /// Every commit finds that another process has written first.
    conflicts: Arc<AtomicBool>,
}

#[async_trait]
impl Store for Gated {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.store.load(key).await
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        self.store.as_owner_index()
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.gate.acquire().await.unwrap().forget();
        self.commits.fetch_add(1, Ordering::SeqCst);
        if self.fails_next.swap(false, Ordering::SeqCst) {
            return Err(StoreError::unavailable("commit", "the test said so"));
        }
        if self.conflicts.load(Ordering::SeqCst)
            && let Commit::Replace { key, .. } = &commit
            && let Some(Entry::Live(stored)) = self.store.load(key).await?
        {
            return Ok(Outcome::Conflict(stored));
        }
        self.store.commit(commit).await
    }
}

/// An application with one visitor, whose session has an owner, `n` = 0, and a touch that is due.
struct Stage {
    sessions: Sessions,
    store: Gated,
    cookie: String,
}

impl Stage {
    async fn new() -> Self {
        let clock = Arc::new(FakeClock::default());
        let store = Gated {
            store: Arc::new(MemoryStore::with_clock(clock.clone())),
            gate: Arc::new(Semaphore::new(1)),
            commits: Arc::default(),
            fails_next: Arc::default(),
            conflicts: Arc::default(),
        };
        let sessions = Sessions::store(store.clone(), AppKeys::random())
            .clock(clock.clone())
            .cookie_settings(CookieSettings::development())
            .build()
            .unwrap();
        let mut stage = Self { sessions, store, cookie: String::new() };
        let (visit, session) = stage.request().await;
        session.put("n", 0).unwrap();
        session.set_owner("virk").unwrap();
        stage.cookie = cookie(&visit.finish(200).await.unwrap()).unwrap();
        clock.advance(Duration::from_mins(30));
        stage
    }

    /// A request whose handler has asked for the session.
    async fn request(&self) -> (RequestContext, Session) {
        self.request_with(&self.cookie).await
    }

    async fn request_with(&self, cookie: &str) -> (RequestContext, Session) {
        let visit = RequestContext::new(&self.sessions);
        let session = visit.session([("cookie", cookie)].as_slice()).await.unwrap();
        (visit, session)
    }

    /// Starts an edit of the session, and returns once its commit is under way or waits.
    async fn edit(&self, key: &'static str) -> JoinHandle<Result<Option<()>, Error>> {
        let (_, session) = self.request().await;
        let (sessions, handle) = (self.sessions.clone(), session.handle().unwrap());
        begun(async move { sessions.edit(&handle, move |session| session.put(key, 1)).await }).await
    }

    /// Lets all commits go on.
    fn open(&self) {
        self.store.gate.add_permits(1_000);
    }

    /// Holds all commits back again.
    fn close(&self) {
        self.store.gate.forget_permits(usize::MAX);
    }
}

/// Runs `work` as a task until it waits for something.
async fn begun<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let task = tokio::spawn(work);
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
    task
}

async fn finish(visit: RequestContext) -> JoinHandle<Result<ResponseHeaders, Uncommitted>> {
    begun(async move { visit.finish(200).await }).await
}

/// The cookie that a response sets.
fn cookie(headers: &ResponseHeaders) -> Option<String> {
    headers.set_cookie.first()?.split(';').next().map(ToOwned::to_owned)
}

#[tokio::test]
async fn a_request_behind_an_edit_keeps_its_token() {
    let stage = Stage::new().await;
    let first = stage.edit("first").await;
    let second = stage.edit("second").await;
    let (visit, session) = stage.request().await;
    session.put("seen", true).unwrap();
    let name = session.correlation_id();
    let finishing = finish(visit).await;
    stage.open();
    assert_eq!(first.await.unwrap().unwrap(), Some(()));
    assert_eq!(second.await.unwrap().unwrap(), Some(()));
    let headers = finishing.await.unwrap().unwrap();
    assert_eq!(cookie(&headers).as_ref(), Some(&stage.cookie), "its touch was due");
    assert_eq!(session.correlation_id(), name);
    let (_, next) = stage.request().await;
    assert!(["first", "second", "seen"].iter().all(|key| next.has(key)));
}

#[tokio::test]
async fn a_request_behind_a_sign_in_does_not_read_the_new_session() {
    let stage = Stage::new().await;
    let (leaving, session) = stage.request().await;
    session.destroy().unwrap();
    let (signing_in, session) = stage.request().await;
    session.regenerate().unwrap();
    session.set_owner("alice").unwrap();
    session.put("secret", "alice's").unwrap();
    let (_, behind) = stage.request().await;
    let leaving = finish(leaving).await;
    let signing_in = finish(signing_in).await;
    let committing = behind.clone();
    let committing = begun(async move { committing.commit().await }).await;
    stage.open();
    drop(leaving.await.unwrap().unwrap());
    let headers = signing_in.await.unwrap().unwrap();
    committing.await.unwrap().unwrap();
    assert_eq!(behind.all(), serde_json::Map::new());
    assert_eq!(behind.owner(), None);
    let (_, signed_in) = stage.request_with(&cookie(&headers).unwrap()).await;
    assert_eq!(signed_in.owner().as_deref(), Some("alice"));
}

#[tokio::test]
async fn an_edit_behind_a_regenerate_runs_on_the_moved_record() {
    let stage = Stage::new().await;
    let (visit, session) = stage.request().await;
    let handle = session.handle().unwrap();
    session.regenerate().unwrap();
    let regenerating = finish(visit).await;
    let sessions = stage.sessions.clone();
    let editing = begun(async move {
        let edit = sessions.edit(&handle, |session| {
            let n: i64 = session.get("n")?.expect("the record has a number");
            session.put("n", n + 1)
        });
        edit.await
    });
    let editing = editing.await;
    stage.open();
    let headers = regenerating.await.unwrap().unwrap();
    assert_eq!(editing.await.unwrap().unwrap(), Some(()));
    let (_, moved) = stage.request_with(&cookie(&headers).unwrap()).await;
    assert_eq!(moved.get::<i64>("n").unwrap(), Some(1));
}

#[tokio::test]
async fn an_update_behind_a_logout_does_not_run() {
    let stage = Stage::new().await;
    let (leaving, session) = stage.request().await;
    session.destroy().unwrap();
    let (updating, session) = stage.request().await;
    let runs = Arc::new(AtomicUsize::new(0));
    let counted = runs.clone();
    let update = session.update("n", move |n: &mut i64| {
        counted.fetch_add(1, Ordering::SeqCst);
        *n += 1;
    });
    update.unwrap();
    let leaving = finish(leaving).await;
    let updating = finish(updating).await;
    stage.open();
    drop(leaving.await.unwrap().unwrap());
    assert_eq!(updating.await.unwrap().unwrap().set_cookie, Vec::<String>::new());
    assert_eq!(runs.load(Ordering::SeqCst), 1, "in the handler alone");
}

#[tokio::test]
async fn an_exact_change_that_nobody_awaits_any_more_earns_its_cookie() {
    for panics in [false, true] {
        let stage = Stage::new().await;
        let (visit, session) = stage.request_with("").await;
        let counting = session.increment_now("attempts");
        assert!(tokio::time::timeout(Duration::from_millis(1), counting).await.is_err());
        let ending =
            if panics { visit.abandon(RequestLine::new("GET", "/")) } else { visit.finish(200) };
        let ending = begun(ending).await;
        stage.open();
        let headers = ending.await.unwrap().unwrap();
        let (_, next) = stage.request_with(&cookie(&headers).unwrap()).await;
        assert_eq!(next.get::<i64>("attempts").unwrap(), Some(1));
    }
}

/// The request between them has only read the record, and another process has written since.
#[tokio::test]
async fn a_commit_behind_one_that_writes_nothing_starts_from_what_it_has_read() {
    let stage = Stage::new().await;
    stage.open();
    drop(stage.request().await.0.finish(200).await.unwrap());
    let (_, reading) = stage.request().await;
    let (elsewhere, session) = stage.request().await;
    session.put("other", 1).unwrap();
    drop(elsewhere.finish(200).await.unwrap());
    stage.close();
    let (failing, session) = stage.request().await;
    session.put("lost", 1).unwrap();
    let (regenerating, session) = stage.request().await;
    session.regenerate().unwrap();
    stage.store.fails_next.store(true, Ordering::SeqCst);
    let before = stage.store.commits.load(Ordering::SeqCst);
    let failing = finish(failing).await;
    let reading = begun(async move { reading.commit().await }).await;
    let regenerating = finish(regenerating).await;
    stage.open();
    failing.await.unwrap().unwrap_err();
    reading.await.unwrap().unwrap();
    let headers = regenerating.await.unwrap().unwrap();
    assert!(stage.request_with(&cookie(&headers).unwrap()).await.1.has("other"));
    let commits = stage.store.commits.load(Ordering::SeqCst) - before;
    assert_eq!(commits, 2, "the one that failed and the rotation, which met no conflict");
}

/// The leader's own deadline is fixed when its first commit waits, so it passes first.
#[tokio::test(start_paused = true)]
async fn a_leader_that_gives_up_puts_back_whoever_has_time_left() {
    let stage = Stage::new().await;
    stage.store.conflicts.store(true, Ordering::SeqCst);
    let (first, session) = stage.request().await;
    session.increment("n").unwrap();
    let first = finish(first).await;
    let (second, session) = stage.request().await;
    session.increment("n").unwrap();
    let second = finish(second).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let (third, session) = stage.request().await;
    session.increment("n").unwrap();
    let third = finish(third).await;
    stage.open();
    for (late, time) in [(first, "first"), (second, "second")] {
        let refused = late.await.unwrap().unwrap_err();
        assert!(refused.error.is_contention(), "{time}: {refused:?}");
    }
    stage.store.conflicts.store(false, Ordering::SeqCst);
    drop(third.await.unwrap().unwrap());
    let (_, next) = stage.request().await;
    assert_eq!(next.get::<i64>("n").unwrap(), Some(1));
}
