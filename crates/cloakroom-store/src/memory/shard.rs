//! A part of the memory store, under one lock.

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

/// A full shard makes room for one in so many of its entries at once, because finding what has expired
/// or was unused longest means looking at all. Owners' sessions make room for one.
const ROOM: usize = 16;
/// A shard smaller than this is not worth sweeping.
const SMALLEST_SWEEP: usize = 64;

#[derive(Default)]
pub(super) struct Shard {
    /// In boxes, because half of a map's places are empty.
    pub(super) slots: KeyMap<Box<Slot>>,
    /// Invariant: names every record that has an owner, and nothing else.
    owners: HashMap<OwnerKey, BTreeSet<RecordKey>>,
    sweep_at: usize,
    /// How many entries it holds at most.
    capacity: usize,
    /// Until when guests are refused without looking for room.
    ///
    /// Invariant: until then at least as many live entries have owners as the capacity says.
    pub(super) owned_until: Option<Timestamp>,
}

pub(super) struct Slot {
    pub(super) expires: Timestamp,
    /// How long a record lives on when it is used.
    idle: Duration,
    revision: Revision,
    /// In a box, as a successor is, because most entries have neither.
    owner: Option<Box<OwnerKey>>,
    content: Content,
}

pub(super) enum Content {
    Record(Bytes),
    Tombstone { successor: Option<Box<RecordKey>> },
}

/// What a full shard makes room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Newcomer {
    Guest,
    Owned,
    /// A session that moves there from this key, which does not leave.
    Rotated(RecordKey),
}

/// A thread that panicked under the lock left a whole shard: every change below is one insertion.
pub(super) fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first key with this tag, in the order of keys.
pub(super) fn first_key(tag: u16) -> RecordKey {
    let mut key = [0; 32];
    key[..RecordKey::TAG_BYTES].copy_from_slice(&tag.to_be_bytes());
    RecordKey::from_bytes(key)
}

impl Shard {
    /// So many shards, each with this capacity.
    pub(super) fn several(count: usize, capacity: usize) -> Box<[Mutex<Self>]> {
        let shard = || Mutex::new(Self { sweep_at: SMALLEST_SWEEP, capacity, ..Self::default() });
        std::iter::repeat_with(shard).take(count).collect()
    }

    /// Makes room for one more entry. Returns how many had to leave that were live.
    ///
    /// # Errors
    /// When a guest finds no room because all others have owners.
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
    pub(super) fn refuse_guest(&self, now: Timestamp) -> Result<(), StoreError> {
        if self.owned_until.is_none_or(|until| until <= now) {
            return Ok(());
        }
        let cause = "the memory store is full of sessions that have owners";
        Err(StoreError::unavailable("begin a session", cause))
    }

    /// Chooses who leaves a full shard: the oldest entries without an owner, and where these are too
    /// few, for an owner the oldest of an owner.
    pub(super) fn leaving(&self, newcomer: Newcomer) -> Vec<RecordKey> {
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
    pub(super) fn current(&mut self, key: &RecordKey, now: Timestamp) -> Option<&mut Slot> {
        let slot = self.slots.get_mut(key)?;
        (slot.expires > now).then_some(slot)
    }

    pub(super) fn create(&mut self, key: RecordKey, draft: Draft, now: Timestamp) -> Outcome {
        if self.slots.len() >= self.sweep_at {
            self.sweep(now);
            self.sweep_at = SMALLEST_SWEEP.max(2 * self.slots.len());
        }
        let revision = match self.slots.entry(key) {
            hash_map::Entry::Occupied(slot) if slot.get().expires > now => return Outcome::Exists,
            // Numbered on, so that no reader of the expired record can mistake this one for it.
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
            self.disown(&key, before);
        }
    }

    /// Applies `step` to a live record of the expected revision.
    pub(super) fn change(
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

    pub(super) fn bury(
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
    pub(super) fn lower_owned_until(&mut self, expires: Timestamp) {
        self.owned_until = self.owned_until.map(|until| until.min(expires));
    }

    pub(super) fn disown(&mut self, key: &RecordKey, owner: Option<Box<OwnerKey>>) {
        let Some(owner) = owner else { return };
        self.owned_until = None;
        if let hash_map::Entry::Occupied(mut keys) = self.owners.entry(*owner) {
            keys.get_mut().remove(key);
            if keys.get().is_empty() {
                keys.remove();
            }
        }
    }

    /// Adds the keys of `owner` from the tag `from` on until there are `limit`, and then the others
    /// of the last one's tag. Returns the next tag, if there is one.
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

    /// Drops what has expired, and says how much that was.
    pub(super) fn sweep(&mut self, now: Timestamp) -> usize {
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
    pub(super) fn rank(&self) -> (bool, Duration) {
        let expires = Timestamp::from_millis(0).until(self.expires);
        match &self.content {
            Content::Record(_) => (false, expires.saturating_sub(self.idle)),
            Content::Tombstone { .. } => (true, expires),
        }
    }

    pub(super) fn found(&self) -> Entry {
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
        match self.found() {
            Entry::Live(stored) => Some(stored),
            Entry::Tombstone { .. } => None,
        }
    }
}
