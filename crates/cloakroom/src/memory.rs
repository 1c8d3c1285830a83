//! The memory driver: sessions that live as long as the process.

use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    fmt, mem,
    sync::{
        Arc, Mutex, MutexGuard, Once, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    clock::{Clock, SystemClock, Timestamp},
    store::{
        Commit, Directory, Draft, Enumerate, Found, KeyPage, Outcome, OwnerKey, Place, RecordKey,
        Revision, Store, StoreError, Stored, Sweep, Swept,
    },
    token::KeyMap,
};

/// The most shards that there are. Fewer where a capacity would leave them too small.
const SHARDS: usize = 64;
/// How many entries a shard of a bounded store has room for at least, so that what leaves it is old.
const SMALLEST_SHARD: usize = 16;
/// A full shard makes room for one in so many of its entries at once, because finding what has expired
/// or was unused longest means looking at all. Owners' sessions make room for one.
const ROOM: usize = 16;
/// A shard smaller than this is not worth sweeping.
const SMALLEST_SWEEP: usize = 64;

/// Keeps records in this process's memory: for tests, for development, and for an application that
/// runs as one process and may forget its visitors when it restarts. For anything else use the
/// file or Redis driver.
///
/// It sweeps itself: a shard that has doubled since its last sweep drops what has expired, so
/// memory stays within twice what is live and no background task is needed. Visitors can still begin
/// sessions without end: [`capacity`](Self::capacity) sets a limit.
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
    /// Whether it was said that sessions leave for want of room.
    warned: Once,
}

#[derive(Default)]
struct Shard {
    /// In boxes, because half of a map's places are empty.
    slots: KeyMap<Box<Slot>>,
    /// Invariant: names every record that has an owner, and nothing else.
    owners: HashMap<OwnerKey, BTreeSet<RecordKey>>,
    sweep_at: usize,
    /// How many entries it holds at most.
    capacity: usize,
    /// Until when guests are refused without looking for room.
    ///
    /// Invariant: until then at least as many live entries have owners as the capacity says.
    owned_until: Option<Timestamp>,
}

struct Slot {
    expires: Timestamp,
    /// How long a record lives on when it is used.
    idle: Duration,
    revision: Revision,
    /// In a box, as a successor is, because most entries have neither.
    owner: Option<Box<OwnerKey>>,
    content: Content,
}

enum Content {
    Record(Bytes),
    Tombstone { successor: Option<Box<RecordKey>> },
}

/// What a full shard makes room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Newcomer {
    Guest,
    Owned,
    /// A session that moves there from this key, which does not leave.
    Rotated(RecordKey),
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
    /// use cloakroom::{AppKeys, MemoryStore, Sessions};
    ///
    /// let store = MemoryStore::new().capacity(100_000);
    /// let sessions = Sessions::store(store, AppKeys::random()).build()?;
    /// # Ok::<(), cloakroom::cookie::CookieError>(())
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

/// A thread that panicked under the lock left a whole shard: every change below is one insertion.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first key with this tag, in the order of keys.
fn first_key(tag: u16) -> RecordKey {
    let mut key = [0; 32];
    key[..RecordKey::TAG_BYTES].copy_from_slice(&tag.to_be_bytes());
    RecordKey::from_bytes(key)
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

    fn directory(&self) -> Option<&dyn Directory> {
        Some(self)
    }

    fn enumerate(&self) -> Option<&dyn Enumerate> {
        Some(self)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let now = self.clock.now();
        Ok(match commit {
            Commit::Create { key, record } => {
                let mut shard = self.shard(&key);
                let is_owned = record.owner.is_some();
                let newcomer = if is_owned { Newcomer::Owned } else { Newcomer::Guest };
                self.make_room(&mut shard, newcomer, now)?;
                shard.create(key, record, now)
            }
            Commit::Replace { key, expected, record } => {
                self.shard(&key).replace(key, expected, record, now)
            }
            Commit::Touch { key, expected, expires } => {
                self.shard(&key).touch(&key, expected, expires, now)
            }
            Commit::Destroy { key, tombstone } => self.shard(&key).bury(&key, None, tombstone, now),
            Commit::Rotate { from, expected, to, record, tombstone } => {
                let mut shard = self.shard(&from);
                match shard.change(&from, expected, now, |_| ()) {
                    Outcome::Done(_) => (),
                    refused => return Ok(refused),
                }
                self.make_room(&mut shard, Newcomer::Rotated(from), now)?;
                let created = shard.create(to, record, now);
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
impl Directory for MemoryStore {
    async fn keys_of(
        &self,
        owner: &OwnerKey,
        from: Place,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        let now = self.clock.now();
        let (mut keys, mut tag) = (Vec::new(), u16::try_from(from.offset).unwrap_or_default());
        for (part, shard) in (0..).zip(&self.shards).skip_while(|(part, _)| *part < from.part) {
            if let Some(tag) = lock(shard).keys_of(owner, tag, limit.max(1), now, &mut keys) {
                let next = Place { part, offset: tag.into(), ..from };
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
impl Enumerate for MemoryStore {
    async fn keys_from(&self, from: Place) -> Result<KeyPage, StoreError> {
        let shard = usize::try_from(from.part).ok().and_then(|part| self.shards.get(part));
        let Some(shard) = shard else { return Ok(KeyPage::default()) };
        let next = Some(Place { part: from.part + 1, ..from });
        Ok(KeyPage::new(lock(shard).slots.keys().copied().collect(), next))
    }
}

impl Shard {
    /// So many shards, each with this capacity.
    fn several(count: usize, capacity: usize) -> Box<[Mutex<Self>]> {
        let shard = || Mutex::new(Self { sweep_at: SMALLEST_SWEEP, capacity, ..Self::default() });
        std::iter::repeat_with(shard).take(count).collect()
    }

    /// Makes room for one more entry. Returns how many had to leave that were live.
    ///
    /// # Errors
    /// When a guest finds no room because all others have owners.
    fn make_room(&mut self, newcomer: Newcomer, now: Timestamp) -> Result<usize, StoreError> {
        if self.slots.len() < self.capacity {
            return Ok(0);
        }
        if newcomer == Newcomer::Guest {
            self.refuse_guest(now)?;
        }
        self.sweep(now);
        let leaving = self.leaving(newcomer);
        if newcomer == Newcomer::Guest && self.slots.len() - leaving.len() >= self.capacity {
            let owned = self.slots.values().filter(|slot| slot.owner.is_some());
            self.owned_until = owned.map(|slot| slot.expires).min();
            self.refuse_guest(now)?;
        }
        for key in &leaving {
            let owner = self.slots.remove(key).and_then(|slot| slot.owner);
            self.disown(key, owner);
        }
        Ok(leaving.len())
    }

    /// Refuses a guest for as long as the shard is known to be full of owners.
    fn refuse_guest(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.owned_until.is_none_or(|until| until <= now) {
            return Ok(());
        }
        let cause = "the memory store is full of sessions that have owners";
        Err(StoreError::unavailable("begin a session", cause))
    }

    /// Chooses who leaves a full shard: the oldest entries without an owner, and where these are too
    /// few, for an owner the oldest of an owner.
    fn leaving(&self, newcomer: Newcomer) -> Vec<RecordKey> {
        let is_kept = |key: &RecordKey| newcomer == Newcomer::Rotated(*key);
        let unowned = self.slots.iter().filter(|(key, slot)| slot.owner.is_none() && !is_kept(key));
        let mut leaving: Vec<_> = unowned.map(|(key, slot)| (slot.rank(), *key)).collect();
        let room = (self.capacity / ROOM).max(1);
        let count = (self.slots.len() + room).saturating_sub(self.capacity);
        if count < leaving.len() {
            leaving.select_nth_unstable(count);
            leaving.truncate(count);
        }
        if newcomer == Newcomer::Owned && self.slots.len() - leaving.len() >= self.capacity {
            let owned = self.slots.iter().filter(|(_, slot)| slot.owner.is_some());
            leaving.extend(owned.map(|(key, slot)| (slot.rank(), *key)).min());
        }
        leaving.into_iter().map(|(_, key)| key).collect()
    }

    /// The entry under `key`, unless its deadline has passed.
    fn current(&mut self, key: &RecordKey, now: Timestamp) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key)?;
        (slot.expires > now).then_some(slot)
    }

    fn create(&mut self, key: RecordKey, draft: Draft, now: Timestamp) -> Outcome {
        if self.slots.len() >= self.sweep_at {
            self.sweep(now);
            self.sweep_at = SMALLEST_SWEEP.max(2 * self.slots.len());
        }
        let revision = match self.slots.entry(key) {
            Entry::Occupied(slot) if slot.get().expires > now => return Outcome::Exists,
            // Numbered on, so that no reader of the expired record can mistake this one for it.
            Entry::Occupied(slot) => Revision(slot.get().revision.0 + 1),
            Entry::Vacant(_) => Revision(1),
        };
        self.put(key, revision, draft);
        Outcome::Done(revision)
    }

    fn replace(
        &mut self,
        key: RecordKey,
        expected: Revision,
        draft: Draft,
        now: Timestamp,
    ) -> Outcome {
        match self.change(&key, Some(expected), now, |_| ()) {
            Outcome::Done(Revision(current)) => {
                let revision = Revision(current + 1);
                self.put(key, revision, draft);
                Outcome::Done(revision)
            }
            refused => refused,
        }
    }

    fn touch(
        &mut self,
        key: &RecordKey,
        expected: Revision,
        expires: Timestamp,
        now: Timestamp,
    ) -> Outcome {
        self.lower_owned_until(expires);
        self.change(key, Some(expected), now, |slot| slot.expires = expires)
    }

    fn put(&mut self, key: RecordKey, revision: Revision, draft: Draft) {
        let Draft { record, expires, idle, owner } = draft;
        self.lower_owned_until(expires);
        if let Some(owner) = owner {
            self.owners.entry(owner).or_default().insert(key);
        }
        let content = Content::Record(record);
        let slot = Slot { expires, idle, revision, owner: owner.map(Box::new), content };
        let before = match self.slots.entry(key) {
            Entry::Occupied(mut entry) => mem::replace(&mut **entry.get_mut(), slot).owner,
            Entry::Vacant(entry) => {
                entry.insert(Box::new(slot));
                None
            }
        };
        if before.as_deref() != owner.as_ref() {
            self.disown(&key, before);
        }
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

    fn bury(
        &mut self,
        key: &RecordKey,
        successor: Option<RecordKey>,
        until: Timestamp,
        now: Timestamp,
    ) -> Outcome {
        let mut owner = None;
        let outcome = self.change(key, None, now, |slot| {
            owner = slot.owner.take();
            slot.content = Content::Tombstone { successor: successor.map(Box::new) };
            slot.expires = until;
        });
        self.disown(key, owner);
        outcome
    }

    /// Keeps the invariant where an entry gets another deadline.
    fn lower_owned_until(&mut self, expires: Timestamp) {
        self.owned_until = self.owned_until.map(|until| until.min(expires));
    }

    fn disown(&mut self, key: &RecordKey, owner: Option<Box<OwnerKey>>) {
        let Some(owner) = owner else { return };
        self.owned_until = None;
        if let Entry::Occupied(mut keys) = self.owners.entry(*owner) {
            keys.get_mut().remove(key);
            if keys.get().is_empty() {
                keys.remove();
            }
        }
    }

    /// Adds the keys of `owner` from the tag `from` on until there are `limit`, and then the others
    /// of the last one's tag. Returns the next tag, if there is one.
    fn keys_of(
        &self,
        owner: &OwnerKey,
        from: u16,
        limit: usize,
        now: Timestamp,
        keys: &mut Vec<RecordKey>,
    ) -> Option<u16> {
        for key in self.owners.get(owner)?.range(first_key(from)..) {
            if keys.len() >= limit && keys.last().is_none_or(|last| last.tag() != key.tag()) {
                return Some(u16::from_be_bytes(key.tag()));
            }
            if self.slots.get(key).is_some_and(|slot| slot.expires > now) {
                keys.push(*key);
            }
        }
        None
    }

    /// Drops what has expired, and says how much that was.
    fn sweep(&mut self, now: Timestamp) -> usize {
        let expired = self.slots.extract_if(|_, slot| slot.expires <= now);
        let expired: Vec<_> = expired.map(|(key, slot)| (key, slot.owner)).collect();
        let count = expired.len();
        for (key, owner) in expired {
            self.disown(&key, owner);
        }
        count
    }
}

impl Slot {
    /// Of the entries without an owner and of those with one, what comes first here leaves a full
    /// store first: the record that was unused longest, and after the records the tombstone that goes
    /// first anyway.
    fn rank(&self) -> (bool, Duration) {
        let expires = Timestamp::from_millis(0).until(self.expires);
        match &self.content {
            Content::Record(_) => (false, expires.saturating_sub(self.idle)),
            Content::Tombstone { .. } => (true, expires),
        }
    }

    fn found(&self) -> Found {
        match &self.content {
            Content::Tombstone { successor } => {
                Found::Tombstone { successor: successor.as_deref().copied(), expires: self.expires }
            }
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
}

/// One call sweeps one shard, whatever the limit: a shard is small.
#[async_trait]
impl Sweep for MemoryStore {
    async fn sweep(&self, _limit: usize) -> Result<Swept, StoreError> {
        let now = self.clock.now();
        let index = self.next_sweep.fetch_add(1, Ordering::Relaxed) % self.shards.len();
        let mut shard = lock(&self.shards[index]);
        let (seen, removed) = (shard.slots.len(), shard.sweep(now));
        Ok(Swept { seen, removed, finished: index == self.shards.len() - 1, busy: false })
    }
}

#[cfg(test)]
mod tests;
