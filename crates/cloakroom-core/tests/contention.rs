//! A session that other processes write all the time.
#![allow(clippy::incompatible_msrv, reason = "tests run on the newest Rust")]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use cloakroom_core::adapter::RequestContext;
use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cloakroom_core::{
    AppKeys, MemoryStore, Sessions, async_trait,
    clock::{Clock, SystemClock},
    cookie::CookieSettings,
    store::{Commit, Draft, Entry, Outcome, RecordKey, Store, StoreError},
};
use tokio::time::{Instant, sleep};

/// How long a commit takes.
const ROUND_TRIP: Duration = Duration::from_millis(1);

/// A store whose records other processes write: a number of times before the next commits, and
/// whenever this process has not looked at them for longer than a round trip and a half.
#[derive(Debug)]
struct Contested {
    store: MemoryStore,
    looked: Mutex<Instant>,
    conflicts_left: Arc<AtomicU32>,
}

impl Contested {
    async fn write(&self, key: RecordKey) {
        let Some(Entry::Live(stored)) = self.store.load(&key).await.unwrap() else { return };
        let record = Draft::new(stored.bytes, SystemClock.now(), Duration::from_mins(1));
        let replace = Commit::replace(key, stored.revision, record);
        self.store.commit(replace).await.unwrap();
    }
}

#[async_trait]
impl Store for Contested {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.store.load(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        sleep(ROUND_TRIP).await;
        let is_stale = self.looked.lock().unwrap().elapsed() > ROUND_TRIP * 3 / 2;
        let forced = self
            .conflicts_left
            .try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if let Commit::Replace { key, .. } = &commit
            && (is_stale || forced.is_ok())
        {
            self.write(*key).await;
        }
        let outcome = self.store.commit(commit).await;
        *self.looked.lock().unwrap() = Instant::now();
        outcome
    }
}

/// Who only tries again after a pause tries with a record that is out of date by then, for ever.
#[tokio::test(start_paused = true)]
async fn a_commit_among_busy_processes_succeeds_in_time() {
    let conflicts_left = Arc::new(AtomicU32::new(0));
    let store = Contested {
        store: MemoryStore::new(),
        looked: Mutex::new(Instant::now()),
        conflicts_left: conflicts_left.clone(),
    };
    let sessions = Sessions::store(store, AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
    let visit = RequestContext::new(&sessions);
    let no_headers: &[(&str, &str)] = &[];
    visit.session(no_headers).await.unwrap().put("n", 0).unwrap();
    let line = visit.finish(200).await.unwrap().set_cookie.remove(0);
    let cookie = line.split(';').next().unwrap();

    conflicts_left.store(12, Ordering::SeqCst);
    let visit = RequestContext::new(&sessions);
    let session = visit.session([("cookie", cookie)].as_slice()).await.unwrap();
    session.increment("n").unwrap();
    let began = Instant::now();
    drop(visit.finish(200).await.unwrap());
    assert!(began.elapsed() < Duration::from_millis(250), "{:?}", began.elapsed());
}
