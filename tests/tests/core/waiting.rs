//! Commits that wait for another commit of their session, in an order that each test sets: the store
//! holds every commit back until the test lets it go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use cloakroom::{
    Error, MemoryStore, Session,
    adapter::{RequestContext, RequestLine, ResponseHeaders, Uncommitted},
    async_trait,
    store::{Commit, Entry, Outcome, Store, StoreError},
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser},
    store::Hooks,
};
use tokio::{sync::Semaphore, task::JoinHandle};

/// Commits need a permit each.
#[derive(Debug)]
struct Gate {
    permits: Semaphore,
    /// The next commit fails without being carried out.
    fails_next: AtomicBool,
    /// Every commit finds that another process has written first.
    conflicts: AtomicBool,
}

#[async_trait]
impl Hooks for Gate {
    async fn before_commit(
        &self,
        records: &MemoryStore,
        commit: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        self.permits.acquire().await.unwrap().forget();
        if self.fails_next.swap(false, Ordering::SeqCst) {
            return Err(StoreError::unavailable("commit", "the test said so"));
        }
        if self.conflicts.load(Ordering::SeqCst)
            && let Commit::Replace { key, .. } = commit
            && let Some(Entry::Live(stored)) = records.load(key).await?
        {
            return Ok(Some(Outcome::Conflict(stored)));
        }
        Ok(None)
    }
}

/// An application, and a browser whose session has an owner, `n` = 0, and a touch that is due.
struct Stage {
    app: LocalApp<Gate>,
    browser: LocalBrowser,
}

impl Stage {
    async fn new() -> Self {
        let gate = Gate {
            permits: Semaphore::new(1),
            fails_next: AtomicBool::default(),
            conflicts: AtomicBool::default(),
        };
        let app = LocalApp::with(gate, |builder| builder);
        let begin = |session: &Session| {
            session.put("n", 0).unwrap();
            session.set_owner("virk").unwrap();
        };
        let browser = app.browser_with(begin).await;
        app.clock.advance(Duration::from_mins(30));
        Self { app, browser }
    }

    /// Begins a request whose handler has asked for the session.
    async fn request(&self) -> (RequestContext, Session) {
        self.browser.begin().await
    }

    /// Returns the session as the browser finds it after this response.
    async fn after(&self, headers: &ResponseHeaders) -> Session {
        let mut browser = self.browser.clone();
        browser.keep(headers);
        browser.open().await
    }

    /// Starts an edit of the session, and returns once its commit has begun or waits.
    async fn edit(&self, key: &'static str) -> JoinHandle<Result<Option<()>, Error>> {
        let handle = self.browser.open().await.handle().unwrap();
        let sessions = self.app.sessions.clone();
        begun(async move { sessions.edit(&handle, move |session| session.put(key, 1)).await }).await
    }

    /// Lets all commits go on.
    fn open(&self) {
        self.app.store.hooks.permits.add_permits(1_000);
    }

    /// Holds all commits back again.
    fn close(&self) {
        self.app.store.hooks.permits.forget_permits(usize::MAX);
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
    let mut browser = stage.browser.clone();
    browser.keep(&headers);
    assert_eq!(headers.set_cookie.len(), 1, "its touch was due");
    assert_eq!(browser.jar.header(), stage.browser.jar.header());
    assert_eq!(session.correlation_id(), name);
    let next = stage.browser.open().await;
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
    let signed_in = stage.after(&headers).await;
    assert_eq!(signed_in.owner().as_deref(), Some("alice"));
}

#[tokio::test]
async fn an_edit_behind_a_regenerate_runs_on_the_moved_record() {
    let stage = Stage::new().await;
    let (visit, session) = stage.request().await;
    let handle = session.handle().unwrap();
    session.regenerate().unwrap();
    let regenerating = finish(visit).await;
    let sessions = stage.app.sessions.clone();
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
    let moved = stage.after(&headers).await;
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
        let (visit, session) = stage.app.browser().begin().await;
        let counting = session.increment_now("attempts");
        assert!(tokio::time::timeout(Duration::from_millis(1), counting).await.is_err());
        let ending =
            if panics { visit.abandon(RequestLine::new("GET", "/")) } else { visit.finish(200) };
        let ending = begun(ending).await;
        stage.open();
        let headers = ending.await.unwrap().unwrap();
        let next = stage.after(&headers).await;
        assert_eq!(next.get::<i64>("attempts").unwrap(), Some(1));
    }
}

/// The request between them has only read the record, and another process has written since.
#[tokio::test]
async fn a_commit_behind_one_without_a_write_uses_its_own_read() {
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
    stage.app.store.hooks.fails_next.store(true, Ordering::SeqCst);
    stage.app.store.calls();
    let failing = finish(failing).await;
    let reading = begun(async move { reading.commit().await }).await;
    let regenerating = finish(regenerating).await;
    stage.open();
    failing.await.unwrap().unwrap_err();
    reading.await.unwrap().unwrap();
    let headers = regenerating.await.unwrap().unwrap();
    let calls = stage.app.store.calls();
    assert_eq!(calls, ["replace", "rotate"], "the one that failed, and no conflict");
    assert!(stage.after(&headers).await.has("other"));
}

/// Both requests change nothing, and the one that waits has read what another process has written.
#[tokio::test]
async fn a_commit_behind_an_older_one_without_a_write_keeps_its_own_read() {
    let stage = Stage::new().await;
    stage.open();
    drop(stage.request().await.0.finish(200).await.unwrap());
    let (_, older) = stage.request().await;
    let (elsewhere, session) = stage.request().await;
    session.put("other", 1).unwrap();
    drop(elsewhere.finish(200).await.unwrap());
    let (_, newer) = stage.request().await;
    stage.close();
    let (failing, session) = stage.request().await;
    session.put("lost", 1).unwrap();
    stage.app.store.hooks.fails_next.store(true, Ordering::SeqCst);
    let failing = finish(failing).await;
    let first = older.clone();
    let first = begun(async move { first.commit().await }).await;
    let second = newer.clone();
    let second = begun(async move { second.commit().await }).await;
    stage.open();
    failing.await.unwrap().unwrap_err();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
    assert!(newer.has("other") && !older.has("other"));
    stage.app.store.calls();
    newer.put("n", 7).unwrap();
    newer.commit().await.unwrap();
    assert_eq!(stage.app.store.calls(), ["replace"], "no conflict");
}

/// The leader's own deadline is fixed when its first commit waits, so it passes first.
#[tokio::test(start_paused = true)]
async fn a_leader_that_gives_up_puts_back_whoever_has_time_left() {
    let stage = Stage::new().await;
    stage.app.store.hooks.conflicts.store(true, Ordering::SeqCst);
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
    stage.app.store.hooks.conflicts.store(false, Ordering::SeqCst);
    drop(third.await.unwrap().unwrap());
    let next = stage.browser.open().await;
    assert_eq!(next.get::<i64>("n").unwrap(), Some(1));
}
