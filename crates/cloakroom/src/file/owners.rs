//! Which records an owner has: an empty file for each, named by the record's key.
//!
//! ```text
//! owners/4f/4f2a…/9c01…       owner 4f2a… has record 9c01…
//! ```
//! An entry is made before the record that it names and removed after it, both under the lock of the
//! record's shard, so a live record always has one. What a crash leaves over names no live record;
//! looking it up drops it, and the sweep deletes it.

use std::{io, path::PathBuf};

use super::{
    folder::{Flushed, Folder},
    shard::{hex, name_of},
};
use crate::store::{OwnerKey, RecordKey};

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
        let (entries, made) = shard.inner_or_new(&name)?;
        let marked = entries.mark(&name_of(key))?;
        if !flushed {
            return Ok(());
        }
        let outer = Folder::open(&self.location)?;
        let changed = [(marked, &entries), (made, &shard), (shard_made, &all), (all_made, &outer)];
        self.flushed.once(owner.as_bytes()[0], |is_first| {
            let mut changed = changed.into_iter().filter(|(changed, _)| *changed || is_first);
            changed.try_for_each(|(_, folder)| folder.flush())
        })
    }

    /// Notes that the record under `key` is no longer this owner's. A failure leaves an entry that
    /// leads to nothing, for the sweep.
    pub(super) fn remove(&self, owner: Option<OwnerKey>, key: &RecordKey) {
        let Some(owner) = owner else { return };
        let removed = self
            .entries(&owner)
            .and_then(|entries| entries.map_or(Ok(false), |entries| entries.remove(&name_of(key))));
        if let Err(error) = removed {
            tracing::warn!(?owner, %error, "could not remove an entry of an owner's sessions");
        }
    }

    /// The keys that are noted for `owner`.
    pub(super) fn keys_of(&self, owner: &OwnerKey) -> io::Result<Vec<RecordKey>> {
        let Some(entries) = self.entries(owner)? else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        for name in entries.names()? {
            keys.extend(key_named(&name?));
        }
        Ok(keys)
    }

    fn entries(&self, owner: &OwnerKey) -> io::Result<Option<Folder>> {
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
