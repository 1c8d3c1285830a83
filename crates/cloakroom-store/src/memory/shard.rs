//! A part of the memory store with its own lock.

use std::{
    collections::{BTreeSet, HashMap, hash_map},
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;

use crate::{
    Draft, Entry, KeyMap, Outcome, OwnerKey, RecordKey, Revision, StoreError, StoredRecord,
    clock::Timestamp,
};

/// The fraction of its capacity for which a full shard makes room at once. Choosing the entries to
/// remove means reading all of them, so that must not happen for each new session.
const ROOM: usize = 16;
/// The size from which on a shard sweeps itself.
const MIN_SWEEP: usize = 64;

#[derive(Default)]
pub(super) struct Shard {
    /// In boxes, because up to half of the map's buckets are empty.
    pub(super) slots: KeyMap<Box<Slot>>,
    /// Invariant: contains the keys of all records with an owner, and no others.
    owners: HashMap<OwnerKey, BTreeSet<RecordKey>>,
    /// The number of entries at which the shard sweeps itself.
    sweep_at: usize,
    /// The largest number of entries.
    capacity: usize,
    /// Until this moment guests are refused without a search for room.
    ///
    /// Invariant: until this moment, the number of live entries with owners is at least the capacity.
    pub(super) owned_until: Option<Timestamp>,
}

pub(super) struct Slot {
    pub(super) expires: Timestamp,
    /// The idle timeout of the record.
    idle: Duration,
    revision: Revision,
    /// In a box, like a successor, because most entries have neither.
    owner: Option<Box<OwnerKey>>,
    content: Content,
}

pub(super) enum Content {
    Record(Bytes),
    Tombstone { successor: Option<Box<RecordKey>> },
}

/// The entry that a full shard makes room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newcomer {
    /// A session without an owner.
    Guest,
    /// A session with an owner.
    Owned,
    /// A session that is rotated away from this key. The entry under the key stays.
    Rotated(RecordKey),
}

/// Locks a shard. A poisoned lock is safe to use, because each critical section makes one complete
/// change.
pub(super) fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the first key with this tag, in the order of keys.
pub(super) fn first_key(tag: u16) -> RecordKey {
    let mut key = [0; 32];
    key[..RecordKey::TAG_BYTES].copy_from_slice(&tag.to_be_bytes());
    RecordKey::from_bytes(key)
}

impl Shard {
    /// Makes `count` shards, each with this capacity.
    pub(super) fn several(count: usize, capacity: usize) -> Box<[Mutex<Self>]> {
        let shard = || Mutex::new(Self { sweep_at: MIN_SWEEP, capacity, ..Self::default() });
        std::iter::repeat_with(shard).take(count).collect()
    }

    /// Makes room for one more entry. Returns the number of live entries that it removed.
    ///
    /// # Errors
    /// When a guest finds no room because all entries have owners.
    pub(super) fn make_room(
        &mut self,
        newcomer: Newcomer,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        if self.slots.len() < self.capacity {
            return Ok(0);
        }
        if newcomer == Newcomer::Guest {
            self.refuse_guest(now)?;
        }
        self.sweep(now);
        let removable = self.removable(newcomer);
        if newcomer == Newcomer::Guest && self.slots.len() - removable.len() >= self.capacity {
            let owned = self.slots.values().filter(|slot| slot.owner.is_some());
            self.owned_until = owned.map(|slot| slot.expires).min();
            self.refuse_guest(now)?;
        }
        for key in &removable {
            let owner = self.slots.remove(key).and_then(|slot| slot.owner);
            self.remove_from_index(key, owner);
        }
        Ok(removable.len())
    }

    /// Refuses a guest while the shard is known to be full of entries with owners.
    pub(super) fn refuse_guest(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.owned_until.is_none_or(|until| until <= now) {
            return Ok(());
        }
        let cause = "the memory store is full of sessions that have owners";
        Err(StoreError::unavailable("begin a session", cause))
    }

    /// Chooses the entries that leave a full shard, by [rank](Slot::rank). Chooses entries without an
    /// owner. If they are too few for a newcomer with an owner, adds one entry with an owner.
    pub(super) fn removable(&self, newcomer: Newcomer) -> Vec<RecordKey> {
        let is_kept = |key: &RecordKey| newcomer == Newcomer::Rotated(*key);
        let unowned = self.slots.iter().filter(|(key, slot)| slot.owner.is_none() && !is_kept(key));
        let mut removable: Vec<_> = unowned.map(|(key, slot)| (slot.rank(), *key)).collect();
        let room = (self.capacity / ROOM).max(1);
        let count = (self.slots.len() + room).saturating_sub(self.capacity);
        if count < removable.len() {
            removable.select_nth_unstable(count);
            removable.truncate(count);
        }
        if newcomer == Newcomer::Owned && self.slots.len() - removable.len() >= self.capacity {
            let owned = self.slots.iter().filter(|(_, slot)| slot.owner.is_some());
            removable.extend(owned.map(|(key, slot)| (slot.rank(), *key)).min());
        }
        removable.into_iter().map(|(_, key)| key).collect()
    }

    /// Returns the entry under `key`, unless its deadline has passed.
    pub(super) fn current(&mut self, key: &RecordKey, now: Timestamp) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key)?;
        (slot.expires > now).then_some(slot)
    }

    pub(super) fn create(&mut self, key: RecordKey, draft: Draft, now: Timestamp) -> Outcome {
        if self.slots.len() >= self.sweep_at {
            self.sweep(now);
            self.sweep_at = MIN_SWEEP.max(2 * self.slots.len());
        }
        let revision = match self.slots.entry(key) {
            hash_map::Entry::Occupied(slot) if slot.get().expires > now => return Outcome::Exists,
            // A reader of the expired record must not mistake the new one for it.
            hash_map::Entry::Occupied(slot) => Revision(slot.get().revision.0 + 1),
            hash_map::Entry::Vacant(_) => Revision(1),
        };
        self.put(key, revision, draft);
        Outcome::Done(revision)
    }

    pub(super) fn replace(
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

    pub(super) fn touch(
        &mut self,
        key: &RecordKey,
        expected: Revision,
        expires: Timestamp,
        now: Timestamp,
    ) -> Outcome {
        self.lower_owned_until(expires);
        self.change(key, Some(expected), now, |slot| slot.expires = expires)
    }

    pub(super) fn put(&mut self, key: RecordKey, revision: Revision, draft: Draft) {
        let Draft { bytes, expires, idle, owner } = draft;
        self.lower_owned_until(expires);
        if let Some(owner) = owner {
            self.owners.entry(owner).or_default().insert(key);
        }
        let content = Content::Record(bytes);
        let slot = Slot { expires, idle, revision, owner: owner.map(Box::new), content };
        let before = match self.slots.entry(key) {
            hash_map::Entry::Occupied(mut entry) => {
                mem::replace(&mut **entry.get_mut(), slot).owner
            }
            hash_map::Entry::Vacant(entry) => {
                entry.insert(Box::new(slot));
                None
            }
        };
        if before.as_deref() != owner.as_ref() {
            self.remove_from_index(&key, before);
        }
    }

    /// Applies `change` to a live record of the expected revision. Without one, accepts any revision.
    pub(super) fn change(
        &mut self,
        key: &RecordKey,
        expected: Option<Revision>,
        now: Timestamp,
        change: impl FnOnce(&mut Slot),
    ) -> Outcome {
        let Some(slot) = self.current(key, now) else { return Outcome::Gone };
        let Some(stored) = slot.stored() else { return Outcome::Gone };
        if expected.is_some_and(|expected| expected != stored.revision) {
            return Outcome::Conflict(stored);
        }
        change(slot);
        Outcome::Done(slot.revision)
    }

    /// Replaces a record by a tombstone that lasts until `until`.
    pub(super) fn destroy(
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
        self.remove_from_index(key, owner);
        outcome
    }

    /// Keeps the invariant of [`owned_until`](Self::owned_until) when an entry gets this deadline.
    pub(super) fn lower_owned_until(&mut self, expires: Timestamp) {
        self.owned_until = self.owned_until.map(|until| until.min(expires));
    }

    /// Removes a key from the index of its former owner, if it had one.
    pub(super) fn remove_from_index(&mut self, key: &RecordKey, owner: Option<Box<OwnerKey>>) {
        let Some(owner) = owner else { return };
        self.owned_until = None;
        if let hash_map::Entry::Occupied(mut keys) = self.owners.entry(*owner) {
            keys.get_mut().remove(key);
            if keys.get().is_empty() {
                keys.remove();
            }
        }
    }

    /// Adds keys of `owner` to `keys`, from the tag `from` on. Stops at `limit` keys, after the last
    /// key of a tag. Returns the next tag, if there is one.
    pub(super) fn keys_of(
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

    /// Removes expired entries and returns their number.
    pub(super) fn sweep(&mut self, now: Timestamp) -> usize {
        let expired = self.slots.extract_if(|_, slot| slot.expires <= now);
        let expired: Vec<_> = expired.map(|(key, slot)| (key, slot.owner)).collect();
        let count = expired.len();
        for (key, owner) in expired {
            self.remove_from_index(&key, owner);
        }
        count
    }
}

impl Slot {
    /// Returns the rank of the entry for leaving a full shard. The lowest rank leaves first. Records
    /// rank by their last use, before all tombstones, which rank by their deadline.
    pub(super) fn rank(&self) -> (bool, Duration) {
        let expires = Timestamp::from_millis(0).until(self.expires);
        match &self.content {
            Content::Record(_) => (false, expires.saturating_sub(self.idle)),
            Content::Tombstone { .. } => (true, expires),
        }
    }

    pub(super) fn entry(&self) -> Entry {
        match &self.content {
            Content::Tombstone { successor } => {
                Entry::tombstone(successor.as_deref().copied(), self.expires)
            }
            Content::Record(bytes) => {
                Entry::Live(StoredRecord::new(bytes.clone(), self.revision, self.expires))
            }
        }
    }

    pub(super) fn stored(&self) -> Option<StoredRecord> {
        match self.entry() {
            Entry::Live(stored) => Some(stored),
            Entry::Tombstone { .. } => None,
        }
    }
}
