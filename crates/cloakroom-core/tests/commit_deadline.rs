//! Stores that hang, and how long requests wait for them.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cloakroom_core::{
    AppKeys, Error, MemoryStore, Session, Sessions,
    adapter::RequestContext,
    async_trait,
    cookie::CookieSettings,
    store::{Commit, Entry, Outcome, RecordKey, Store, StoreError},
};
use tokio::{task::JoinHandle, time::Instant};

const DEADLINE: Duration = Duration::from_secs(5);
/// How long the store takes for a commit when it does not hang.
const COMMIT: Duration = Duration::from_millis(5);

/// A memory store that hangs when a test says so.
#[derive(Clone, Debug, Default)]
struct Hanging {
    store: Arc<MemoryStore>,
    loads_hang: Arc<AtomicBool>,
    next_commit_hangs: Arc<AtomicBool>,
}

#[async_trait]
impl Store for Hanging {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        if self.loads_hang.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        self.store.load(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        if self.next_commit_hangs.swap(false, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(COMMIT).await;
        self.store.commit(commit).await
    }
}

/// An application with one visitor, whose session has `n` = 0.
#[derive(Clone)]
struct Stage {
    sessions: Sessions,
    store: Hanging,
    cookie: String,
}

impl Stage {
    async fn new() -> Self {
        let store = Hanging::default();
        let sessions = Sessions::store(store.clone(), AppKeys::random())
            .cookie_settings(CookieSettings::development())
            .commit_deadline(DEADLINE)
            .build()
            .unwrap();
        let mut stage = Self { sessions, store, cookie: String::new() };
        let (visit, session) = stage.request().await;
        session.put("n", 0).unwrap();
        let headers = visit.finish(200).await.unwrap();
        headers.set_cookie[0].split(';').next().unwrap().clone_into(&mut stage.cookie);
        stage
    }

    /// A request whose handler has asked for the session.
    async fn request(&self) -> (RequestContext, Session) {
        let visit = RequestContext::new(&self.sessions);
        let session = visit.session([("cookie", self.cookie.as_str())].as_slice()).await.unwrap();
        (visit, session)
    }

    /// Sends a request after so many milliseconds that increments `n`. Returns how long its commit
    /// took.
    fn increment(&self, after: u64, exactly: bool) -> JoinHandle<(Duration, Result<(), Error>)> {
        let stage = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(after)).await;
            let (visit, session) = stage.request().await;
            let began = Instant::now();
            let done = if exactly {
                session.increment_now("n").await.map(drop)
            } else {
                session.increment("n").unwrap();
                visit.finish(200).await.map(drop).map_err(Error::from)
            };
            (began.elapsed(), done)
        })
    }
}

/// The first commit hangs. The second waits for it until its own deadline is a breath away, and
/// commits for those that have just come.
#[tokio::test(start_paused = true)]
async fn a_leader_with_no_time_left_commits_for_those_who_have() {
    let stage = Stage::new().await;
    stage.store.next_commit_hangs.store(true, Ordering::SeqCst);
    let hangs = stage.increment(0, false);
    let waits = stage.increment(2, true);
    let come_later = [4_000, 4_900, 4_990].map(|after| stage.increment(after, false));
    let (took, failed) = hangs.await.unwrap();
    assert_eq!((took, failed.unwrap_err().http_status()), (DEADLINE, 503));
    let (took, done) = waits.await.unwrap();
    done.unwrap();
    assert!(took < DEADLINE + COMMIT * 2, "{took:?}");
    for request in come_later {
        request.await.unwrap().1.unwrap();
    }
    assert_eq!(stage.request().await.1.get::<i64>("n").unwrap(), Some(4));
}

/// A leader waits for the store as long as those that it took along, and no request longer than twice
/// its own deadline.
#[tokio::test(start_paused = true)]
async fn a_request_that_commits_for_others_waits_twice_its_deadline_at_most() {
    let stage = Stage::new().await;
    stage.store.next_commit_hangs.store(true, Ordering::SeqCst);
    let requests: Vec<_> = (0..50).map(|n| stage.increment(n * 200, n % 2 == 0)).collect();
    let hangs = stage.store.next_commit_hangs.clone();
    // The commit of each leader hangs.
    let hanging = tokio::spawn(async move {
        loop {
            hangs.store(true, Ordering::SeqCst);
            tokio::time::sleep(COMMIT).await;
        }
    });
    for request in requests {
        let (took, done) = request.await.unwrap();
        assert_eq!(done.unwrap_err().http_status(), 503);
        assert!(took <= DEADLINE * 2, "{took:?}");
    }
    hanging.abort();
}

/// A logout follows the session to its new key, and an exact change reads the record again.
#[tokio::test(start_paused = true)]
async fn loads_within_a_commit_have_its_deadline() {
    let stage = Stage::new().await;
    let (leaving, session) = stage.request().await;
    session.destroy().unwrap();
    let (counting, changed) = stage.request().await;
    changed.put("m", 0).unwrap();
    let (regenerating, session) = stage.request().await;
    session.regenerate().unwrap();
    drop(regenerating.finish(200).await.unwrap());
    stage.store.loads_hang.store(true, Ordering::SeqCst);
    for commit in [
        tokio::spawn(async move { leaving.finish(200).await.map(drop).map_err(Error::from) }),
        tokio::spawn(async move { changed.increment_now("n").await.map(drop) }),
    ] {
        let waited = tokio::time::timeout(DEADLINE * 2, commit).await;
        let error = waited.unwrap().unwrap().unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
    }
    drop(counting);
}
