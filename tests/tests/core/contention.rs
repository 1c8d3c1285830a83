//! A session that other processes write all the time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cloakroom::{
    MemoryStore, async_trait,
    clock::{Clock, FakeClock},
    store::{Commit, Draft, Entry, Outcome, RecordKey, Store, StoreError},
};
use cloakroom_tests::{local::LocalApp, store::Hooks};
use tokio::time::{Instant, sleep};

/// How long a commit takes.
const ROUND_TRIP: Duration = Duration::from_millis(1);

/// Other processes write a record a number of times before the next commits, and whenever this
/// process has not read it for longer than a round trip and a half.
#[derive(Clone, Debug)]
struct Contested {
    looked: Arc<Mutex<Instant>>,
    conflicts_left: Arc<AtomicU32>,
}

async fn write(records: &MemoryStore, key: RecordKey) {
    let Some(Entry::Live(stored)) = records.load(&key).await.unwrap() else { return };
    let now = FakeClock::default().now();
    let draft = Draft::new(stored.bytes, now, Duration::from_mins(1));
    records.commit(Commit::replace(key, stored.revision, draft)).await.unwrap();
}

#[async_trait]
impl Hooks for Contested {
    async fn before_commit(
        &self,
        records: &MemoryStore,
        commit: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        sleep(ROUND_TRIP).await;
        let is_stale = self.looked.lock().unwrap().elapsed() > ROUND_TRIP * 3 / 2;
        let left = &self.conflicts_left;
        let forced =
            left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if let Commit::Replace { key, .. } = commit
            && (is_stale || forced.is_ok())
        {
            write(records, *key).await;
        }
        Ok(None)
    }

    async fn after_commit(&self) {
        *self.looked.lock().unwrap() = Instant::now();
    }
}

/// A request that only retries after a pause always retries with a record that is out of date.
#[tokio::test(start_paused = true)]
async fn a_commit_among_busy_processes_succeeds_in_time() {
    let looked = Arc::new(Mutex::new(Instant::now()));
    let contested = Contested { looked, conflicts_left: Arc::default() };
    let app = LocalApp::with(contested.clone(), |builder| builder);
    let browser = app.browser_with(|session| session.put("n", 0).unwrap()).await;

    contested.conflicts_left.store(12, Ordering::SeqCst);
    let (context, session) = browser.begin().await;
    session.increment("n").unwrap();
    let began = Instant::now();
    drop(context.finish(200).await.unwrap());
    assert!(began.elapsed() < Duration::from_millis(250), "{:?}", began.elapsed());
}
