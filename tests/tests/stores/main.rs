//! The conformance suite on every store here, as value and behind pointers.
#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use cloakroom::adapter::RequestContext;
use std::sync::Arc;

use cloakroom::{
    MemoryStore, async_trait,
    clock::{FakeClock, Timestamp},
    conformance,
    store::{
        Commit, Cursor, Entry, Outcome, OwnerIndex, OwnerKey, RecordKey, Scan, Store, StoreError,
        Sweep,
    },
};

/// Runs the suite on three new stores: as a value, in a box and in an `Arc`.
async fn conforms<S: Store>(new: impl Fn(Arc<FakeClock>) -> S) {
    let clock = || Arc::new(FakeClock::default());
    let time = clock();
    let rules = conformance::check(Arc::new(new(time.clone())), &*time).await;
    let time = clock();
    let boxed: Box<dyn Store> = Box::new(new(time.clone()));
    assert_eq!(conformance::check(Arc::new(boxed), &*time).await, rules);
    let time = clock();
    let shared: Arc<dyn Store> = Arc::new(new(time.clone()));
    assert_eq!(conformance::check(shared, &*time).await, rules);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_conforms() {
    conforms(|clock| MemoryStore::with_clock(clock)).await;
    conforms(|clock| MemoryStore::with_clock(clock).capacity(10_000)).await;
}

/// A store whose rotation takes two steps.
#[derive(Debug, Default)]
struct Torn(MemoryStore);

#[async_trait]
impl Store for Torn {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.0.load(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let Commit::Rotate { from, expected, to, draft, .. } = &commit else {
            return self.0.commit(commit).await;
        };
        if let (Some(Entry::Live(stored)), None) = (self.load(from).await?, self.load(to).await?)
            && expected.is_none_or(|expected| expected == stored.revision)
        {
            self.0.commit(Commit::create(*to, draft.clone())).await?;
            tokio::task::yield_now().await;
            self.0.commit(Commit::destroy(*to, Timestamp::from_millis(0))).await?;
        }
        self.0.commit(commit).await
    }
}

#[tokio::test]
#[should_panic(expected = "a dropped rotation has left")]
async fn a_store_that_is_cut_off_within_a_rotation_does_not_conform() {
    conformance::check(Arc::new(Torn::default()), &conformance::RealTime).await;
}

/// A capability is found through a pointer, as a background sweep needs it.
#[tokio::test]
async fn capabilities_work_behind_pointers() {
    async fn uses(store: impl Sweep + Scan + OwnerIndex) {
        let owner = OwnerKey::of("virk");
        assert_eq!(store.keys_of(&owner, Cursor::default(), 1).await.unwrap().keys, []);
        assert_eq!(store.keys_with_tag(&owner, [0; 2]).await.unwrap(), []);
        assert_eq!(store.scan(Cursor::default()).await.unwrap().keys, []);
        assert_eq!(store.sweep(1).await.unwrap().removed, 0);
    }
    uses(Arc::new(MemoryStore::new())).await;
    uses(Box::new(MemoryStore::new())).await;
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_store_conforms() {
    use cloakroom::{FileStore, file::Durability};
    for durability in [Durability::Full, Durability::Fast] {
        let folder = tempfile::tempdir().unwrap();
        let open = |clock: Arc<FakeClock>| {
            let store = FileStore::builder(folder.path().join("sessions"));
            store.durability(durability).clock(clock).open().unwrap()
        };
        conforms(open).await;
    }
}

/// Visitors who keep no cookie, such as crawlers, see a form each time and fill nothing.
#[cfg(unix)]
#[tokio::test]
async fn twenty_thousand_anonymous_pages_leave_no_file() {
    use cloakroom::{AppKeys, FileStore, Sessions};
    let folder = tempfile::tempdir().unwrap();
    let store = FileStore::open(folder.path().join("sessions")).unwrap();
    let sessions = Sessions::builder(store, AppKeys::random()).build().unwrap();
    let no_cookie: &[(&str, &str)] = &[("host", "example.org")];
    for _ in 0..20_000 {
        let visit = RequestContext::new(&sessions);
        let field = visit.session(no_cookie).await.unwrap().view().csrf_field();
        assert!(field.contains("_csrf"));
        assert_eq!(visit.finish(200).await.unwrap().set_cookie.len(), 1);
    }
    let files = std::fs::read_dir(folder.path().join("sessions")).into_iter().flatten().count();
    assert_eq!(files, 0);
}

/// No unbounded growth: sessions that expire are dropped by those that come, without a sweep.
#[tokio::test]
async fn the_memory_store_sweeps_itself() {
    use cloakroom::store::{Commit, Draft, RecordKey};
    let clock = Arc::new(FakeClock::default());
    let store = MemoryStore::with_clock(clock.clone());
    let mut number = 0_u64;
    let mut most_swept = 0;
    for _ in 0..50 {
        for _ in 0..2_000 {
            number += 1;
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            let now = cloakroom::clock::Clock::now(&*clock);
            let record = Draft::new("x", now, std::time::Duration::from_mins(1));
            store.commit(Commit::create(RecordKey::from_bytes(key), record)).await.unwrap();
        }
        clock.advance(std::time::Duration::from_mins(1));
        assert!(store.is_empty());
    }
    loop {
        let swept = store.sweep(usize::MAX).await.unwrap();
        most_swept += swept.removed;
        if swept.is_finished() {
            break;
        }
    }
    assert!(most_swept < 10_000, "{most_swept} dead entries were still there of {number}");
}

/// The memory of one session in the memory store, with its share of the empty places of its maps.
#[cfg(target_os = "linux")]
#[tokio::test]
#[ignore = "long: cargo xtask soak"]
async fn a_million_small_sessions_in_memory() {
    use cloakroom::{AppKeys, Sessions};
    const SESSIONS: usize = 1_000_000;
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build().unwrap();
    let no_cookie: &[(&str, &str)] = &[("host", "example.org")];
    let before = resident();
    for number in 0..SESSIONS {
        let visit = RequestContext::new(&sessions);
        visit.session(no_cookie).await.unwrap().put("n", number).unwrap();
        assert_eq!(visit.finish(200).await.unwrap().set_cookie.len(), 1);
    }
    let bytes = (resident() - before) / SESSIONS;
    println!("resident bytes of a session of one small value, at {SESSIONS}: {bytes}");
    assert!(bytes <= 272, "{bytes}");
}

/// This process's resident memory, in bytes.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}
