//! The memory driver: sessions that live as long as the process.

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

/// The most shards that there are. Fewer where a capacity would leave them too small.
const SHARDS: usize = 64;
/// How many entries a shard of a bounded store has room for at least, so that what leaves it is old.
const SMALLEST_SHARD: usize = 16;

/// Keeps records in this process's memory: for tests, for development, and for an application that
/// runs as one process and may forget its visitors when it restarts. For anything else use the
/// file or Redis driver.
///
/// It sweeps itself: a shard that has doubled since its last sweep drops what has expired, so
/// memory stays within twice what is live and no background task is needed. Visitors can still begin
/// sessions without end: [`capacity`](Self::capacity) sets a limit.
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
    /// Whether it was said that sessions leave for want of room.
    warned: Once,
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
        Self {
            shards: Shard::several(SHARDS, usize::MAX),
            clock,
            next_sweep: AtomicUsize::new(0),
            warned: Once::new(),
        }
    }

    /// Sets how many sessions the store holds at most, the marks of those that have just ended
    /// included; at least one. Call it on an empty store: it starts over. Default: no limit.
    ///
    /// Where a session finds no room, what has expired leaves first, then the sessions without an owner
    /// that were unused longest, then those marks. Where all others have owners, a new session without
    /// an owner is refused with an error that is [unavailable](StoreError::is_unavailable), and a new
    /// session of an owner takes the place of the one that was unused longest. The first time that a
    /// session leaves so, a warning says it. Visitors whose sessions have left begin again.
    ///
    /// The store is cut into 64 parts, or fewer for less than 1,024 sessions, and each part holds its
    /// share. So a session may leave a little before the store as a whole is full, and it is the one of
    /// its part that was unused longest. A full part makes room for a sixteenth of its sessions at once,
    /// as long as these have no owner. A session that is regenerated always finds room: a part that is
    /// full of owners' sessions holds one entry more then.
    ///
    /// ```
    /// use cloakroom_store::MemoryStore;
    ///
    /// let store = MemoryStore::new().capacity(100_000);
    /// ```
    #[must_use]
    pub fn capacity(mut self, sessions: usize) -> Self {
        let sessions = sessions.max(1);
        let shards = (sessions / SMALLEST_SHARD).clamp(1, SHARDS);
        self.shards = Shard::several(shards, sessions / shards);
        self
    }

    /// How many records are live. Counts every entry: for tests and dashboards.
    pub fn len(&self) -> usize {
        let now = self.clock.now();
        let live = |slot: &Slot| slot.stored().is_some() && slot.expires > now;
        let count = |shard| lock(shard).slots.values().filter(|slot| live(slot)).count();
        self.shards.iter().map(count).sum()
    }

    /// Whether no record is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard(&self, key: &RecordKey) -> MutexGuard<'_, Shard> {
        // By the tag, so that the keys of a rotation are in one shard.
        lock(&self.shards[usize::from(u16::from_be_bytes(key.tag())) % self.shards.len()])
    }

    /// Makes room in a shard, and warns once if sessions had to leave.
    fn make_room(
        &self,
        shard: &mut Shard,
        newcomer: Newcomer,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if shard.make_room(newcomer, now)? > 0 {
            self.warned.call_once(|| {
                tracing::warn!(
                    "the memory store is full: sessions end early, those without an owner first; give \
                     it a larger capacity, or use the file or Redis driver"
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
        Ok(shard.current(key, now).map(|slot| slot.found()))
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
            Commit::Destroy { key, tombstone } => self.shard(&key).bury(&key, None, tombstone, now),
            Commit::Rotate { from, expected, to, draft, tombstone } => {
                let mut shard = self.shard(&from);
                match shard.change(&from, expected, now, |_| ()) {
                    Outcome::Done(_) => (),
                    refused => return Ok(refused),
                }
                self.make_room(&mut shard, Newcomer::Rotated(from), now)?;
                let created = shard.create(to, draft, now);
                if matches!(created, Outcome::Done(_)) {
                    shard.bury(&from, expected.map(|_| to), tombstone, now);
                }
                created
            }
        })
    }
}

/// A place is a shard and a tag. A rotation replaces the old key in the index at once, so the keys of
/// one tag are on one page.
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

/// One shard a page.
#[async_trait]
impl Scan for MemoryStore {
    async fn scan(&self, from: Cursor) -> Result<KeyPage, StoreError> {
        let shard = usize::try_from(from.part()).ok().and_then(|part| self.shards.get(part));
        let Some(shard) = shard else { return Ok(KeyPage::default()) };
        let next = Some(Cursor::new(from.part() + 1, 0));
        Ok(KeyPage::new(lock(shard).slots.keys().copied().collect(), next))
    }
}

/// One call sweeps one shard, whatever the limit: a shard is small.
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
