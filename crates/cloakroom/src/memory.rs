//! The memory driver: sessions that live as long as the process.

use std::{
    cmp::Ordering as CmpOrdering,
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    clock::{Clock, SystemClock, Timestamp},
    store::{
        Commit, Draft, Found, Outcome, RecordKey, Revision, Store, StoreError, Stored, Sweep, Swept,
    },
};

const SHARDS: usize = 64;
/// A shard smaller than this is not worth sweeping.
const SMALLEST_SWEEP: usize = 64;

/// Keeps records in this process's memory: for tests, for development, and for an application that
/// runs as one process and may forget its visitors when it restarts. For anything else use the
/// file or Redis driver.
///
/// It sweeps itself: a shard that has doubled since its last sweep drops what has expired, so
/// memory stays within twice what is live and no background task is needed.
///
/// ```
/// use cloakroom::{AppKeys, MemoryStore, Sessions};
///
/// let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
/// # Ok::<(), cloakroom::cookie::CookieError>(())
/// ```
pub struct MemoryStore {
    shards: Box<[Mutex<Shard>]>,
    clock: Arc<dyn Clock>,
    next_sweep: AtomicUsize,
}

struct Shard {
    slots: HashMap<RecordKey, Slot>,
    sweep_at: usize,
}

struct Slot {
    expires: Timestamp,
    revision: Revision,
    content: Content,
}

enum Content {
    Record(Bytes),
    Tombstone { successor: Option<RecordKey> },
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// An empty store that asks `clock` for the time.
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        let shard = || Mutex::new(Shard { slots: HashMap::new(), sweep_at: SMALLEST_SWEEP });
        let shards = std::iter::repeat_with(shard).take(SHARDS).collect();
        Self { shards, clock, next_sweep: AtomicUsize::new(0) }
    }

    /// How many records are live. Counts every entry: for tests and dashboards.
    pub fn len(&self) -> usize {
        let now = self.clock.now();
        let live = |slot: &&Slot| slot.stored().is_some() && slot.expires > now;
        self.shards.iter().map(|shard| lock(shard).slots.values().filter(live).count()).sum()
    }

    /// Whether no record is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &RecordKey) -> MutexGuard<'_, Shard> {
        lock(&self.shards[shard_of(key)])
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("live", &self.len()).finish_non_exhaustive()
    }
}

/// A thread that panicked under the lock left a whole shard: every change below is one insertion.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keys are hashes: any of their bytes is evenly spread.
fn shard_of(key: &RecordKey) -> usize {
    usize::from(key.as_bytes()[0]) % SHARDS
}

#[async_trait]
impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Found>, StoreError> {
        let now = self.clock.now();
        let mut shard = self.shard(key);
        Ok(shard.current(key, now).map(|slot| slot.found()))
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let now = self.clock.now();
        Ok(match commit {
            Commit::Create { key, record } => self.shard(&key).create(key, record, now),
            Commit::Replace { key, expected, record } => {
                self.shard(&key).change(&key, Some(expected), now, |slot| slot.write(record))
            }
            Commit::Touch { key, expected, expires } => {
                self.shard(&key).change(&key, Some(expected), now, |slot| slot.expires = expires)
            }
            Commit::Destroy { key, tombstone } => {
                self.shard(&key).change(&key, None, now, |slot| slot.bury(None, tombstone))
            }
            Commit::Rotate { from, expected, to, record, tombstone } => {
                let (mut old, mut new) = self.two_shards(&from, &to);
                match old.change(&from, expected, now, |_| ()) {
                    Outcome::Done(_) => (),
                    refused => return Ok(refused),
                }
                // Two keys of one shard have one lock, which is `old`.
                let created = new.as_mut().unwrap_or(&mut old).create(to, record, now);
                if matches!(created, Outcome::Done(_)) {
                    old.change(&from, None, now, |slot| slot.bury(Some(to), tombstone));
                }
                created
            }
        })
    }
}

type Lock<'a> = MutexGuard<'a, Shard>;

impl MemoryStore {
    /// The shards of two keys, the second only where it is another. They are locked in one order
    /// for all, so that no two requests wait for each other.
    fn two_shards(&self, one: &RecordKey, other: &RecordKey) -> (Lock<'_>, Option<Lock<'_>>) {
        match shard_of(one).cmp(&shard_of(other)) {
            CmpOrdering::Equal => (self.shard(one), None),
            CmpOrdering::Less => {
                let first = self.shard(one);
                (first, Some(self.shard(other)))
            }
            CmpOrdering::Greater => {
                let first = self.shard(other);
                (self.shard(one), Some(first))
            }
        }
    }
}

impl Shard {
    /// The entry under `key`, unless its deadline has passed.
    fn current(&mut self, key: &RecordKey, now: Timestamp) -> Option<&mut Slot> {
        self.slots.get_mut(key).filter(|slot| slot.expires > now)
    }

    fn create(&mut self, key: RecordKey, draft: Draft, now: Timestamp) -> Outcome {
        if self.slots.len() >= self.sweep_at {
            self.slots.retain(|_, slot| slot.expires > now);
            self.sweep_at = SMALLEST_SWEEP.max(2 * self.slots.len());
        }
        let revision = match self.slots.entry(key) {
            Entry::Occupied(slot) if slot.get().expires > now => return Outcome::Exists,
            // Numbered on, so that no reader of the expired record can mistake this one for it.
            Entry::Occupied(slot) => Revision(slot.get().revision.0 + 1),
            Entry::Vacant(_) => Revision(1),
        };
        let Draft { record, expires } = draft;
        self.slots.insert(key, Slot { expires, revision, content: Content::Record(record) });
        Outcome::Done(revision)
    }

    /// Applies `step` to a live record of the expected revision.
    fn change(
        &mut self,
        key: &RecordKey,
        expected: Option<Revision>,
        now: Timestamp,
        step: impl FnOnce(&mut Slot),
    ) -> Outcome {
        let Some(slot) = self.current(key, now) else { return Outcome::Gone };
        let Some(stored) = slot.stored() else { return Outcome::Gone };
        if expected.is_some_and(|expected| expected != stored.revision) {
            return Outcome::Conflict(stored);
        }
        step(slot);
        Outcome::Done(slot.revision)
    }
}

impl Slot {
    fn found(&self) -> Found {
        match &self.content {
            Content::Tombstone { successor } => Found::Tombstone { successor: *successor },
            Content::Record(record) => Found::Live(Stored {
                record: record.clone(),
                revision: self.revision,
                expires: self.expires,
            }),
        }
    }

    fn stored(&self) -> Option<Stored> {
        match self.found() {
            Found::Live(stored) => Some(stored),
            Found::Tombstone { .. } => None,
        }
    }

    fn write(&mut self, draft: Draft) {
        self.revision = Revision(self.revision.0 + 1);
        self.expires = draft.expires;
        self.content = Content::Record(draft.record);
    }

    fn bury(&mut self, successor: Option<RecordKey>, until: Timestamp) {
        self.content = Content::Tombstone { successor };
        self.expires = until;
    }
}

/// One call sweeps one shard, whatever the limit: a shard is small.
#[async_trait]
impl Sweep for MemoryStore {
    async fn sweep(&self, _limit: usize) -> Result<Swept, StoreError> {
        let now = self.clock.now();
        let index = self.next_sweep.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let mut shard = lock(&self.shards[index]);
        let before = shard.slots.len();
        shard.slots.retain(|_, slot| slot.expires > now);
        Ok(Swept { removed: before - shard.slots.len(), finished: index == SHARDS - 1 })
    }
}
