//! The memory driver, which keeps sessions in this process.

mod shard;

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, Once,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use shard::{Newcomer, Shard, Slot, first_key, lock};

use crate::{
    Commit, Cursor, Entry, KeyPage, Outcome, OwnerIndex, OwnerKey, RecordKey, Scan, Store,
    StoreError, Sweep, SweepProgress, SweepRound,
    clock::{Clock, SystemClock, Timestamp},
};

/// The number of shards. A store with a small capacity has fewer.
const SHARDS: usize = 64;
/// The smallest capacity of a shard. In a smaller one, recent sessions could leave for want of room.
const MIN_SHARD_CAPACITY: usize = 16;

/// Keeps records in the memory of this process.
///
/// Use it for tests, for development, and for an application of one process that may lose its sessions
/// at a restart. Use the file or Redis driver otherwise.
///
/// Expired sessions are dropped without a background task. The store has 64 parts. A part of 64 entries
/// or more sweeps itself when a new session finds it twice as large as after its last sweep, so expired
/// entries stay until new ones come. To drop them at other times, call [`Sweep::sweep`].
///
/// # Security
/// Visitors can begin any number of sessions. Set a limit with [`capacity`](Self::capacity).
///
/// ```
/// use cloakroom_store::MemoryStore;
///
/// let store = MemoryStore::new();
/// assert!(store.is_empty());
/// ```
pub struct MemoryStore {
    shards: Box<[Mutex<Shard>]>,
    clock: Arc<dyn Clock>,
    next_sweep: AtomicUsize,
    /// Whether a full store was logged.
    warned: Once,
}

impl MemoryStore {
    /// Makes an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::with_clock(Arc::new(SystemClock))
    }

    /// Makes an empty store that reads the time from `clock`. Tests pass a
    /// [`FakeClock`](crate::clock::FakeClock).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cloakroom_store::{MemoryStore, clock::FakeClock};
    ///
    /// let clock = Arc::new(FakeClock::default());
    /// let store = MemoryStore::with_clock(clock.clone());
    /// ```
    #[must_use]
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            shards: Shard::several(SHARDS, usize::MAX),
            clock,
            next_sweep: AtomicUsize::new(0),
            warned: Once::new(),
        }
    }

    /// Sets how many sessions the store holds at most, including the tombstones of sessions that have
    /// just ended. Default: no limit. Minimum: 1. Call it on an empty store, because it drops all
    /// sessions.
    ///
    /// A full store removes entries to make room for a new session, in this order:
    /// 1. expired entries;
    /// 2. sessions without an owner, those unused longest first;
    /// 3. tombstones;
    /// 4. the session of an owner that was unused longest, if the new session has an owner.
    ///
    /// If all entries have owners, a new session without an owner is refused with an error that is
    /// [unavailable](StoreError::is_unavailable). The first time that a live session is removed, a
    /// warning is logged. Its visitor gets a new session.
    ///
    /// The store has 64 parts, or fewer for less than 1,024 sessions, and each part holds its share. So
    /// a part may be full a little before the whole store is. A full part makes room for a sixteenth of
    /// its capacity at once, but removes only one session of an owner at a time. A regenerated session
    /// always finds room, so a part that is full of owners' sessions may hold one entry more.
    ///
    /// ```
    /// use cloakroom_store::MemoryStore;
    ///
    /// let store = MemoryStore::new().capacity(100_000);
    /// ```
    #[must_use]
    pub fn capacity(mut self, sessions: usize) -> Self {
        let sessions = sessions.max(1);
        let shards = (sessions / MIN_SHARD_CAPACITY).clamp(1, SHARDS);
        self.shards = Shard::several(shards, sessions / shards);
        self
    }

    /// Counts the live records. Reads every entry, so use it for tests and dashboards.
    ///
    /// ```
    /// use cloakroom_store::MemoryStore;
    ///
    /// assert_eq!(MemoryStore::new().len(), 0);
    /// ```
    pub fn len(&self) -> usize {
        let now = self.clock.now();
        let live = |slot: &Slot| slot.stored().is_some() && slot.expires > now;
        let count = |shard| lock(shard).slots.values().filter(|slot| live(slot)).count();
        self.shards.iter().map(count).sum()
    }

    /// Returns whether the store has no live record. Reads every entry, as [`len`](Self::len).
    ///
    /// ```
    /// use cloakroom_store::MemoryStore;
    ///
    /// assert!(MemoryStore::new().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &RecordKey) -> MutexGuard<'_, Shard> {
        // By the tag, because both keys of a rotation share it and have to be in one shard.
        lock(&self.shards[usize::from(u16::from_be_bytes(key.tag())) % self.shards.len()])
    }

    /// Makes room in a shard. Logs once if live entries were removed.
    fn make_room(
        &self,
        shard: &mut Shard,
        newcomer: Newcomer,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if shard.make_room(newcomer, now)? > 0 {
            self.warned.call_once(|| {
                tracing::warn!(
                    "the memory store is full: sessions end before their timeout, those without an \
                     owner first; set a larger capacity, or use the file or Redis driver"
                );
            });
        }
        Ok(())
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

#[async_trait]
impl Store for MemoryStore {
    fn name(&self) -> &'static str {
        "memory"
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        let now = self.clock.now();
        let mut shard = self.shard(key);
        Ok(shard.current(key, now).map(|slot| slot.entry()))
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        Some(self)
    }

    fn as_scan(&self) -> Option<&dyn Scan> {
        Some(self)
    }

    fn as_sweep(&self) -> Option<&dyn Sweep> {
        Some(self)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let now = self.clock.now();
        Ok(match commit {
            Commit::Create { key, draft } => {
                let mut shard = self.shard(&key);
                let is_owned = draft.owner.is_some();
                let newcomer = if is_owned { Newcomer::Owned } else { Newcomer::Guest };
                self.make_room(&mut shard, newcomer, now)?;
                shard.create(key, draft, now)
            }
            Commit::Replace { key, expected, draft } => {
                self.shard(&key).replace(key, expected, draft, now)
            }
            Commit::Touch { key, expected, expires } => {
                self.shard(&key).touch(&key, expected, expires, now)
            }
            Commit::Destroy { key, tombstone } => {
                self.shard(&key).destroy(&key, None, tombstone, now)
            }
            Commit::Rotate { from, expected, to, draft, tombstone } => {
                let mut shard = self.shard(&from);
                match shard.change(&from, expected, now, |_| ()) {
                    Outcome::Done(_) => (),
                    refused => return Ok(refused),
                }
                self.make_room(&mut shard, Newcomer::Rotated(from), now)?;
                let created = shard.create(to, draft, now);
                if matches!(created, Outcome::Done(_)) {
                    shard.destroy(&from, expected.map(|_| to), tombstone, now);
                }
                created
            }
        })
    }
}

/// A cursor is a shard and a tag. The keys of one tag are on one page, because a rotation replaces the
/// old key in the index at once.
#[async_trait]
impl OwnerIndex for MemoryStore {
    async fn keys_of(
        &self,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        let now = self.clock.now();
        let (mut keys, mut tag) = (Vec::new(), u16::try_from(from.offset()).unwrap_or_default());
        for (part, shard) in (0..).zip(&self.shards).skip_while(|(part, _)| *part < from.part()) {
            if let Some(tag) = lock(shard).keys_of(owner, tag, limit.max(1), now, &mut keys) {
                let next = Cursor::new(part, tag.into());
                return Ok(KeyPage::new(keys, Some(next)));
            }
            tag = 0;
        }
        Ok(KeyPage::new(keys, None))
    }

    async fn keys_with_tag(
        &self,
        owner: &OwnerKey,
        tag: [u8; RecordKey::TAG_BYTES],
    ) -> Result<Vec<RecordKey>, StoreError> {
        let mut keys = Vec::new();
        let first = first_key(u16::from_be_bytes(tag));
        let shard = self.shard(&first);
        shard.keys_of(owner, u16::from_be_bytes(tag), 1, self.clock.now(), &mut keys);
        keys.retain(|key| key.tag() == tag);
        Ok(keys)
    }
}

/// Returns one shard per page.
#[async_trait]
impl Scan for MemoryStore {
    async fn scan(&self, from: Cursor) -> Result<KeyPage, StoreError> {
        let shard = usize::try_from(from.part()).ok().and_then(|part| self.shards.get(part));
        let Some(shard) = shard else { return Ok(KeyPage::default()) };
        let next = Some(Cursor::new(from.part() + 1, 0));
        Ok(KeyPage::new(lock(shard).slots.keys().copied().collect(), next))
    }
}

/// Sweeps one shard per call. Ignores the limit, because a shard is small.
#[async_trait]
impl Sweep for MemoryStore {
    async fn sweep(&self, _limit: usize) -> Result<SweepProgress, StoreError> {
        let now = self.clock.now();
        let index = self.next_sweep.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        let mut shard = lock(&self.shards[index]);
        let (seen, removed) = (shard.slots.len(), shard.sweep(now));
        let is_last = index == self.shards.len() - 1;
        let round = if is_last { SweepRound::Finished } else { SweepRound::Ongoing };
        Ok(SweepProgress::new(seen, removed, round))
    }
}

#[cfg(test)]
mod tests;
