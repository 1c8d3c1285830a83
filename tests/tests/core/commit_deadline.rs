//! Stores that hang, and how long requests wait for them.

use std::time::Duration;

use cloakroom::{
    Error, MemoryStore, async_trait,
    store::{Commit, Outcome, StoreError},
};
use cloakroom_tests::{
    local::{LocalApp, LocalBrowser},
    store::Hooks,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::{task::JoinHandle, time::Instant};

const DEADLINE: Duration = Duration::from_secs(5);
/// How long the store takes for a commit when it does not hang.
const COMMIT: Duration = Duration::from_millis(5);

/// A store that hangs when a test says so.
#[derive(Clone, Debug, Default)]
struct Hanging {
    loads_hang: Arc<AtomicBool>,
    next_commit_hangs: Arc<AtomicBool>,
}

#[async_trait]
impl Hooks for Hanging {
    async fn before_load(&self) -> Result<(), StoreError> {
        if self.loads_hang.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    async fn before_commit(
        &self,
        _: &MemoryStore,
        _: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        if self.next_commit_hangs.swap(false, Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(COMMIT).await;
        Ok(None)
    }
}

/// A store, and a browser whose session has `n` = 0.
async fn visitor() -> (Hanging, LocalBrowser) {
    let store = Hanging::default();
    let app = LocalApp::with(store.clone(), |builder| builder.commit_deadline(DEADLINE));
    (store, app.browser_with(|session| session.put("n", 0).unwrap()).await)
}

/// A deadline that no clock reaches.
#[tokio::test(start_paused = true)]
async fn a_commit_without_an_end_of_its_time_waits_for_the_store() {
    let app = LocalApp::with(Hanging::default(), |builder| builder.commit_deadline(Duration::MAX));
    let mut browser = app.browser();
    browser.visit(|session| session.put("n", 1).unwrap()).await;
    assert_eq!(browser.open().await.get_or("n", 0).unwrap(), 1);
}

/// Whether a request commits at its end, or awaits an exact change.
#[derive(Clone, Copy)]
enum Increment {
    AtTheEnd,
    Now,
}

/// Sends a request after so many milliseconds that increments `n`. Returns how long its commit took.
fn increment(
    browser: &LocalBrowser,
    after: u64,
    kind: Increment,
) -> JoinHandle<(Duration, Result<(), Error>)> {
    let browser = browser.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(after)).await;
        let (context, session) = browser.begin().await;
        let began = Instant::now();
        let done = match kind {
            Increment::Now => session.increment_now("n").await.map(drop),
            Increment::AtTheEnd => {
                session.increment("n").unwrap();
                context.finish(200).await.map(drop).map_err(Error::from)
            }
        };
        (began.elapsed(), done)
    })
}

/// The first commit hangs. The second waits for it until its own deadline is near, and commits for
/// those that have just come.
#[tokio::test(start_paused = true)]
async fn a_leader_with_no_time_left_commits_for_those_who_have() {
    let (store, browser) = visitor().await;
    store.next_commit_hangs.store(true, Ordering::SeqCst);
    let hangs = increment(&browser, 0, Increment::AtTheEnd);
    let waits = increment(&browser, 2, Increment::Now);
    let late = [4_000, 4_900, 4_990].map(|after| increment(&browser, after, Increment::AtTheEnd));
    let (took, failed) = hangs.await.unwrap();
    assert_eq!((took, failed.unwrap_err().http_status()), (DEADLINE, 503));
    let (took, done) = waits.await.unwrap();
    done.unwrap();
    assert!(took < DEADLINE + COMMIT * 2, "{took:?}");
    for request in late {
        request.await.unwrap().1.unwrap();
    }
    assert_eq!(browser.open().await.get::<i64>("n").unwrap(), Some(4));
}

/// A leader waits for the store as long as those that it took along, and no request longer than twice
/// its own deadline.
#[tokio::test(start_paused = true)]
async fn a_leader_waits_twice_its_own_deadline_at_most() {
    let (store, browser) = visitor().await;
    store.next_commit_hangs.store(true, Ordering::SeqCst);
    let kind = |number| if number % 2 == 0 { Increment::Now } else { Increment::AtTheEnd };
    let requests: Vec<_> = (0..50).map(|n| increment(&browser, n * 200, kind(n))).collect();
    // The commit of each leader hangs.
    let hanging = tokio::spawn(async move {
        loop {
            store.next_commit_hangs.store(true, Ordering::SeqCst);
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
    let (store, browser) = visitor().await;
    let (leaving, session) = browser.begin().await;
    session.destroy().unwrap();
    let (counting, changed) = browser.begin().await;
    changed.put("m", 0).unwrap();
    browser.clone().visit(|session| session.regenerate().unwrap()).await;
    store.loads_hang.store(true, Ordering::SeqCst);
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
