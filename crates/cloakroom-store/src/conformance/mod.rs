//! The test suite for implementations of [`Store`].
//!
//! Use [`RealTime`] for a store without an injected clock. Keys are random, so the suite can run
//! beside other users of the same database.
//!
//! ```
//! use std::sync::Arc;
//! use cloakroom_store::{MemoryStore, clock::FakeClock, conformance};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let clock = Arc::new(FakeClock::default());
//! let store = MemoryStore::with_clock(clock.clone());
//! let passed = conformance::check(Arc::new(store), &*clock).await;
//! assert!(passed > 20);
//! # });
//! ```

mod dropped;
mod ending_feed;
mod owners;
mod races;
mod rules;
mod scan;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Commit, Draft, Entry, Outcome, RecordKey, Revision, Store, StoredRecord,
    clock::{Clock, FakeClock, SystemClock, Timestamp},
};

/// The time of the store under test.
#[async_trait]
pub trait Time: Send + Sync {
    /// Returns the current time of the store.
    fn now(&self) -> Timestamp;

    /// Waits until `span` has passed for the store.
    async fn pass(&self, span: Duration);
}

/// Advances the clock instead of waiting.
#[async_trait]
impl Time for FakeClock {
    fn now(&self) -> Timestamp {
        Clock::now(self)
    }

    async fn pass(&self, span: Duration) {
        self.advance(span);
    }
}

/// The time of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealTime;

#[async_trait]
impl Time for RealTime {
    fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    async fn pass(&self, span: Duration) {
        tokio::time::sleep(span).await;
    }
}

/// Runs every rule against `store` and returns the number of rules.
///
/// The rules include those of an [`OwnerIndex`](crate::OwnerIndex), a [`Scan`](crate::Scan) and an
/// [`EndingFeed`](crate::EndingFeed), if `store` is one. The suite cannot check how many entries an owner index reads beyond the keys that it
/// returns. If the store skips entries, test the number in [`KeyPage::seen`](crate::KeyPage::seen)
/// separately.
///
/// # Panics
/// At the first rule that the store breaks. The message names the rule.
///
/// The module page has an example.
pub async fn check(store: Arc<dyn Store>, time: &dyn Time) -> usize {
    let subject = Subject { store, time };
    let owners = match subject.store.as_owner_index() {
        Some(index) => owners::check(&subject, index).await,
        None => 0,
    };
    let scan = match subject.store.as_scan() {
        Some(store) => scan::check(&subject, store).await,
        None => 0,
    };
    let endings = match subject.store.as_ending_feed() {
        Some(feed) => ending_feed::check(&subject, feed).await,
        None => 0,
    };
    let races = races::check(&subject).await;
    rules::check(&subject).await + owners + scan + endings + races + dropped::check(&subject).await
}

/// The store under test, with helpers for the rules.
struct Subject<'a> {
    store: Arc<dyn Store>,
    time: &'a dyn Time,
}

/// The time to a deadline that the suite does not reach.
const FAR: Duration = Duration::from_secs(3_600);
/// The time to a deadline that the suite waits for. Stores may count in whole seconds.
const NEAR: Duration = Duration::from_secs(2);

impl Subject<'_> {
    fn draft(&self, text: &str, span: Duration) -> Draft {
        Draft::new(Bytes::copy_from_slice(text.as_bytes()), self.time.now(), span)
    }

    async fn commit(&self, commit: Commit) -> Outcome {
        let step = format!("{commit:?}");
        self.store.commit(commit).await.unwrap_or_else(|error| panic!("{step} failed: {error:?}"))
    }

    async fn load(&self, key: RecordKey) -> Option<Entry> {
        self.store.load(&key).await.unwrap_or_else(|error| panic!("load failed: {error:?}"))
    }

    /// Returns successor and deadline of the tombstone under `key`.
    async fn tombstone(&self, key: RecordKey) -> (Option<RecordKey>, Timestamp) {
        match self.load(key).await {
            Some(Entry::Tombstone { successor, expires }) => (successor, expires),
            other => panic!("a tombstone was expected, found {other:?}"),
        }
    }

    /// Asserts that `key` has the tombstone of a destroyed session.
    async fn assert_destroyed(&self, key: RecordKey) {
        assert_eq!(self.tombstone(key).await.0, None);
    }

    /// Returns the live record under `key`.
    async fn live(&self, key: RecordKey) -> StoredRecord {
        match self.load(key).await {
            Some(Entry::Live(stored)) => stored,
            other => panic!("a live record was expected, found {other:?}"),
        }
    }

    /// Creates a record under a new key.
    async fn created(&self, text: &str, span: Duration) -> (RecordKey, Revision) {
        self.created_at(new_key(), text, span).await
    }

    async fn created_at(
        &self,
        key: RecordKey,
        text: &str,
        span: Duration,
    ) -> (RecordKey, Revision) {
        match self.commit(Commit::create(key, self.draft(text, span))).await {
            Outcome::Done(revision) => (key, revision),
            other => panic!("creating under a free key returned {other:?}"),
        }
    }

    async fn destroyed(&self) -> RecordKey {
        self.destroyed_at(new_key()).await
    }

    async fn destroyed_at(&self, key: RecordKey) -> RecordKey {
        self.created_at(key, "destroyed", FAR).await;
        let outcome = self.commit(Commit::destroy(key, self.time.now() + FAR)).await;
        assert!(matches!(outcome, Outcome::Done(_)), "destroying a live record: {outcome:?}");
        key
    }

    /// Returns a commit of every kind that needs a live record under `key`.
    fn changes_of(&self, key: RecordKey, expected: Revision) -> [Commit; 4] {
        let expires = self.time.now() + FAR;
        let record = self.draft("changed", FAR);
        [
            Commit::replace(key, expected, record.clone()),
            Commit::touch(key, expected, expires),
            Commit::rotate(key, Some(expected), new_key_beside(key), record, expires),
            Commit::destroy(key, expires),
        ]
    }
}

fn new_key() -> RecordKey {
    let mut bytes = [0; 32];
    #[expect(clippy::expect_used, reason = "a system without a random generator runs no tests")]
    getrandom::fill(&mut bytes).expect("the operating system's random generator must work");
    RecordKey::from_bytes(bytes)
}

/// Returns a new key to which a record under `key` can be rotated.
fn new_key_beside(key: RecordKey) -> RecordKey {
    let mut bytes = *new_key().as_bytes();
    bytes[..RecordKey::TAG_BYTES].copy_from_slice(&key.tag());
    RecordKey::from_bytes(bytes)
}
