//! The index of owners: an empty file for each record of an owner, named by the record's key.
//!
//! ```text
//! owners/4f/4f2a…/9c/9c01…    owner 4f2a… has record 9c01…
//! ```
//! An owner's entries are in up to 256 folders, by the first byte of the record's key, which is the
//! first byte of its tag. So finding a handle reads one folder, and a page reads those that it shows.
//!
//! An entry is created before its record and removed after it, both under the lock of the record's
//! shard, so a live record always has an entry. A crash may leave an entry without a live record.
//! Lookups skip such an entry, and the sweep deletes it.

use std::{io, path::PathBuf};

use cloakroom_store::{OwnerKey, RecordKey};

use crate::{
    folder::{Flushed, Folder},
    names::{file_name, hex, key_of_file},
};

pub(super) const FOLDER: &str = "owners";

/// The number of attempts to create an entry while the sweep removes its folder.
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

    /// Adds the entry for the record of `owner` under `key`.
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
        let marked = entries.mark(&file_name(key))?;
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

    /// Removes the entry for the record of `owner` under `key`. A failure leaves the entry to the sweep.
    pub(super) fn remove(&self, owner: Option<OwnerKey>, key: &RecordKey) {
        let Some(owner) = owner else { return };
        let entries = self.folders(&owner).and_then(|folders| match folders {
            Some(folders) => folders.inner(&first_byte(key)),
            None => Ok(None),
        });
        let removed = entries.and_then(|entries| {
            entries.map_or(Ok(false), |entries| entries.remove(&file_name(key)))
        });
        if let Err(error) = removed {
            tracing::warn!(?owner, %error, "could not remove an entry of an owner's sessions");
        }
    }

    /// Returns the keys of `owner` that come after the key `after`, in order. Stops when there are more
    /// than `enough`.
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

    /// Returns the keys of `owner` that have this tag.
    pub(super) fn keys_with_tag(
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

    /// Opens the folder that has the folders of an owner's entries.
    fn folders(&self, owner: &OwnerKey) -> io::Result<Option<Folder>> {
        let name = hex(owner.as_bytes());
        let Some(shard) = self.shard(&name[..2])? else { return Ok(None) };
        shard.inner(&name)
    }

    /// Opens the folder of all owners whose names begin with `start`.
    pub(super) fn shard(&self, start: &str) -> io::Result<Option<Folder>> {
        let Some(all) = Folder::open(&self.location)?.inner(FOLDER)? else { return Ok(None) };
        all.inner(start)
    }
}

/// Returns the name of an entry's folder.
fn first_byte(key: &RecordKey) -> String {
    hex(&key.as_bytes()[..1])
}

/// Returns the names of the folders in an owner's folder, in order.
fn names_of_folders(folders: &Folder) -> io::Result<Vec<String>> {
    let names: io::Result<Vec<_>> = folders.names()?.collect();
    let mut names = names?;
    names.retain(|name| name.len() == 2);
    names.sort_unstable();
    Ok(names)
}

/// Returns the keys of the entries in one folder of an owner, in order.
fn keys_in(folders: &Folder, name: &str) -> io::Result<Vec<RecordKey>> {
    let Some(entries) = folders.inner(name)? else { return Ok(Vec::new()) };
    let mut keys = Vec::new();
    for name in entries.names()? {
        keys.extend(key_of_file(&name?));
    }
    keys.sort_unstable();
    Ok(keys)
}
