//! Which records an owner has: an empty file for each, named by the record's key.
//!
//! ```text
//! owners/4f/4f2a…/9c/9c01…    owner 4f2a… has record 9c01…
//! ```
//! An owner's entries are in up to 256 folders by the first byte of the record's key, which is the
//! first of its tag: a handle leads to one of them, and a page reads those that it shows.
//!
//! An entry is made before the record that it names and removed after it, both under the lock of the
//! record's shard, so a live record always has one. What a crash leaves over names no live record;
//! looking it up drops it, and the sweep deletes it.

use std::{io, path::PathBuf};

use async_trait::async_trait;

use crate::{
    FileStore, Inner,
    folder::{Flushed, Folder},
    missing_is_none,
    shard::{hex, name_of},
};
use cloakroom_store::{
    Cursor, KeyPage, OwnerIndex, OwnerKey, RecordKey, StoreError, clock::Timestamp,
};

pub(super) const FOLDER: &str = "owners";

/// How often an entry is tried again whose folder the sweep removes at that moment.
const ATTEMPTS: u32 = 16;

#[derive(Debug)]
pub(super) struct Owners {
    location: PathBuf,
    flushed: Flushed,
}

impl Owners {
    pub(super) fn new(location: PathBuf) -> Self {
        Self { location, flushed: Flushed::default() }
    }

    /// Notes that `owner` has a record under `key`.
    pub(super) fn add(&self, owner: &OwnerKey, key: &RecordKey, flushed: bool) -> io::Result<()> {
        let mut outcome = Ok(());
        for _ in 0..ATTEMPTS {
            outcome = self.try_add(owner, key, flushed);
            match &outcome {
                Err(error) if error.kind() == io::ErrorKind::NotFound => (),
                _ => break,
            }
        }
        outcome
    }

    fn try_add(&self, owner: &OwnerKey, key: &RecordKey, flushed: bool) -> io::Result<()> {
        let (all, all_made) = Folder::open(&self.location)?.inner_or_new(FOLDER)?;
        let name = hex(owner.as_bytes());
        let (shard, shard_made) = all.inner_or_new(&name[..2])?;
        let (folders, made) = shard.inner_or_new(&name)?;
        let (entries, entries_made) = folders.inner_or_new(&first_byte(key))?;
        let marked = entries.mark(&name_of(key))?;
        if !flushed {
            return Ok(());
        }
        let outer = Folder::open(&self.location)?;
        let changed = [
            (marked, &entries),
            (entries_made, &folders),
            (made, &shard),
            (shard_made, &all),
            (all_made, &outer),
        ];
        self.flushed.once(owner.as_bytes()[0], |is_first| {
            let mut changed = changed.into_iter().filter(|(changed, _)| *changed || is_first);
            changed.try_for_each(|(_, folder)| folder.flush())
        })
    }

    /// Notes that the record under `key` is no longer this owner's. A failure leaves an entry that
    /// leads to nothing, for the sweep.
    pub(super) fn remove(&self, owner: Option<OwnerKey>, key: &RecordKey) {
        let Some(owner) = owner else { return };
        let entries = self.folders(&owner).and_then(|folders| match folders {
            Some(folders) => folders.inner(&first_byte(key)),
            None => Ok(None),
        });
        let removed = entries
            .and_then(|entries| entries.map_or(Ok(false), |entries| entries.remove(&name_of(key))));
        if let Err(error) = removed {
            tracing::warn!(?owner, %error, "could not remove an entry of an owner's sessions");
        }
    }

    /// Returns keys that are noted for `owner` and come after the key `after`, in their order: all of
    /// them, or more than `enough`.
    pub(super) fn keys_after(
        &self,
        owner: &OwnerKey,
        after: Option<RecordKey>,
        enough: usize,
    ) -> io::Result<Vec<RecordKey>> {
        let mut keys = Vec::new();
        let Some(folders) = self.folders(owner)? else { return Ok(keys) };
        let first = after.map_or_else(String::new, |after| first_byte(&after));
        for name in names_of_folders(&folders)? {
            if keys.len() > enough {
                break;
            }
            if name >= first {
                keys.extend(keys_in(&folders, &name)?);
                keys.retain(|key| after.is_none_or(|after| *key > after));
            }
        }
        Ok(keys)
    }

    /// Returns the keys with this tag that are noted for `owner`.
    fn keys_with_tag(
        &self,
        owner: &OwnerKey,
        tag: [u8; RecordKey::TAG_BYTES],
    ) -> io::Result<Vec<RecordKey>> {
        let Some(folders) = self.folders(owner)? else { return Ok(Vec::new()) };
        let mut keys = keys_in(&folders, &hex(&tag[..1]))?;
        keys.retain(|key| key.tag() == tag);
        Ok(keys)
    }

    /// Removes the folders of `owner` that have no entries.
    pub(super) fn remove_empty(&self, owner: &OwnerKey) -> io::Result<()> {
        let name = hex(owner.as_bytes());
        let Some(shard) = self.shard(&name[..2])? else { return Ok(()) };
        if let Some(folders) = shard.inner(&name)? {
            for name in names_of_folders(&folders)? {
                folders.remove_empty(&name)?;
            }
        }
        shard.remove_empty(&name).map(drop)
    }

    /// Returns the folder with the folders of an owner's entries.
    fn folders(&self, owner: &OwnerKey) -> io::Result<Option<Folder>> {
        let name = hex(owner.as_bytes());
        let Some(shard) = self.shard(&name[..2])? else { return Ok(None) };
        shard.inner(&name)
    }

    /// The folder of all owners whose names begin like this.
    pub(super) fn shard(&self, start: &str) -> io::Result<Option<Folder>> {
        let Some(all) = Folder::open(&self.location)?.inner(FOLDER)? else { return Ok(None) };
        all.inner(start)
    }
}

/// Names the folder of an entry.
fn first_byte(key: &RecordKey) -> String {
    hex(&key.as_bytes()[..1])
}

/// Returns the names of the folders in that of an owner, in their order.
fn names_of_folders(folders: &Folder) -> io::Result<Vec<String>> {
    let names: io::Result<Vec<_>> = folders.names()?.collect();
    let mut names = names?;
    names.retain(|name| name.len() == 2);
    names.sort_unstable();
    Ok(names)
}

/// Returns the keys of the entries in one folder of an owner, in their order.
fn keys_in(folders: &Folder, name: &str) -> io::Result<Vec<RecordKey>> {
    let Some(entries) = folders.inner(name)? else { return Ok(Vec::new()) };
    let mut keys = Vec::new();
    for name in entries.names()? {
        keys.extend(key_named(&name?));
    }
    keys.sort_unstable();
    Ok(keys)
}

const LIST: &str = "list an owner's session files";

#[async_trait]
impl OwnerIndex for FileStore {
    async fn keys_of(
        &self,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        let (inner, owner) = (self.0.clone(), *owner);
        let list = move || inner.keys_of(&owner, from.last_key(), limit.max(1));
        self.0.blocking_pool.read(LIST, list).await
    }

    async fn keys_with_tag(
        &self,
        owner: &OwnerKey,
        tag: [u8; RecordKey::TAG_BYTES],
    ) -> Result<Vec<RecordKey>, StoreError> {
        let (inner, owner) = (self.0.clone(), *owner);
        let find = move || {
            let keys = missing_is_none(inner.owners.keys_with_tag(&owner, tag).map(Some))?;
            inner.owned(&owner, keys.unwrap_or_default())
        };
        self.0.blocking_pool.read(LIST, find).await
    }
}

impl Inner {
    /// A page of the keys of `owner` after the key `after`.
    fn keys_of(
        &self,
        owner: &OwnerKey,
        after: Option<RecordKey>,
        limit: usize,
    ) -> io::Result<KeyPage> {
        let keys = missing_is_none(self.owners.keys_after(owner, after, limit).map(Some))?;
        let mut keys = keys.unwrap_or_default();
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| has_more);
        let next = next.map(|last| Cursor::default().with_last_key(*last));
        let seen = keys.len();
        Ok(KeyPage::new(self.owned(owner, keys)?, next).with_seen(seen))
    }

    /// Those of `keys` under which `owner` has a record or a tombstone.
    fn owned(&self, owner: &OwnerKey, mut keys: Vec<RecordKey>) -> io::Result<Vec<RecordKey>> {
        let now = self.clock.now();
        let mut failure = Ok(());
        keys.retain(|key| match self.is_owned(key, owner, now) {
            Ok(owned) => owned,
            Err(error) => {
                failure = Err(error);
                true
            }
        });
        failure.map(|()| keys)
    }

    /// Whether there is a record or tombstone of `owner` under `key`.
    fn is_owned(&self, key: &RecordKey, owner: &OwnerKey, now: Timestamp) -> io::Result<bool> {
        let Some(shard) = missing_is_none(self.shard(key))? else { return Ok(false) };
        let header = shard.header(key)?.header();
        Ok(header.is_some_and(|header| header.owner == Some(*owner) && header.expires > now))
    }
}

/// The key whose file has this name, if it is a record's.
pub(super) fn key_named(name: &str) -> Option<RecordKey> {
    let mut key = [0; 32];
    if name.len() != 2 * key.len() || !name.is_ascii() {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&name[2 * at..2 * at + 2], 16).ok()?;
    }
    let key = RecordKey::from_bytes(key);
    (name_of(&key) == name).then_some(key)
}
