//! Deleting what has expired, a few files at a time.

use std::{io, sync::Arc};

use super::{
    Inner, SHARDS,
    folder::{Folder, Lock, Names, TEMPORARY},
    format::{Header, Kind},
    missing_is_none,
    owners::key_named,
    shard::{Shard, hex, name_of},
};
use crate::{
    clock::Timestamp,
    store::{OwnerKey, RecordKey, Swept},
};

const LOCK: &str = ".sweep.lock";
/// So many expired files are deleted under one hold of a shard's lock.
const BATCH: usize = 64;

/// A round over all files, first the shards and then the index of owners, with the place where the
/// next call goes on. Memory does not grow with the number of files.
pub(super) struct Round {
    _lock: Lock,
    place: usize,
    shard: Option<(Arc<Shard>, Names)>,
}

/// What one step did.
#[derive(Default)]
struct Step {
    looked_at: usize,
    removed: usize,
}

/// Looks at up to `limit` more files.
pub(super) fn go_on(round: &mut Option<Round>, inner: &Inner, limit: usize) -> io::Result<Swept> {
    let round = match round {
        Some(round) => round,
        None => match Round::begin(inner)? {
            Some(begun) => round.insert(begun),
            None => return Ok(Swept { removed: 0, finished: true, busy: true }),
        },
    };
    let (mut looked_at, mut removed) = (0, 0);
    while looked_at < limit {
        let Some(step) = round.step(inner)? else {
            return Ok(Swept { removed, finished: true, busy: false });
        };
        looked_at += step.looked_at;
        removed += step.removed;
    }
    Ok(Swept { removed, finished: false, busy: false })
}

impl Round {
    /// Begins a round, unless another process is at it.
    fn begin(inner: &Inner) -> io::Result<Option<Self>> {
        let lock = missing_is_none(Folder::open(&inner.location).and_then(|it| it.try_lock(LOCK)))?;
        Ok(lock.map(|lock| Self { _lock: lock, place: 0, shard: None }))
    }

    /// Goes on; nothing when the round is over.
    fn step(&mut self, inner: &Inner) -> io::Result<Option<Step>> {
        if let Some((shard, names)) = &mut self.shard {
            let step = sweep_files(shard, names, inner)?;
            if step.looked_at == 0 {
                self.shard = None;
            }
            return Ok(Some(step));
        }
        let place = self.place;
        self.place += 1;
        let name = hex(&[u8::try_from(place % SHARDS).unwrap_or_default()]);
        if place < SHARDS {
            let folder =
                missing_is_none(Folder::open(&inner.location).and_then(|root| root.inner(&name)))?;
            if let Some(folder) = folder {
                let names = folder.names()?;
                self.shard = Some((Arc::new(Shard::new(folder)), names));
            }
            Ok(Some(Step::default()))
        } else if place < 2 * SHARDS {
            sweep_owners(&name, inner).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// Deletes what has expired among the next few files of a shard.
fn sweep_files(shard: &Arc<Shard>, names: &mut Names, inner: &Inner) -> io::Result<Step> {
    let now = inner.clock.now();
    let (mut looked_at, mut doomed) = (0, Vec::new());
    for name in names.by_ref().take(BATCH) {
        let name = name?;
        looked_at += 1;
        if name.starts_with(TEMPORARY) || is_dead(shard, &name, now)?.is_some() {
            doomed.push(name);
        }
    }
    let removed = if doomed.is_empty() { 0 } else { delete(shard, &doomed, inner)? };
    Ok(Step { looked_at, removed })
}

/// The header of a file that leads nowhere any more: expired, or left over by a rotation that a
/// crash interrupted.
fn is_dead(shard: &Shard, name: &str, now: Timestamp) -> io::Result<Option<Header>> {
    let Some(key) = key_named(name) else { return Ok(None) };
    let Some(header) = shard.header(name)? else { return Ok(None) };
    let dead = header.expires <= now
        || match &header.kind {
            Kind::Record { rotated_from: Some(from) } => !shard.was_rotated(from, &key, now)?,
            _ => false,
        };
    Ok(dead.then_some(header))
}

/// Looks again under the lock, where nothing changes, and deletes: a session that was refreshed since
/// stays, and a temporary file found here has no writer any more.
pub(super) fn delete(shard: &Arc<Shard>, doomed: &[String], inner: &Inner) -> io::Result<usize> {
    let _lock = shard.take_lock()?;
    let now = inner.clock.now();
    let mut removed = 0;
    for name in doomed {
        if name.starts_with(TEMPORARY) {
            removed += usize::from(shard.folder().remove(name)?);
        } else if let Some(header) = is_dead(shard, name, now)? {
            removed += usize::from(shard.folder().remove(name)?);
            if let Some(key) = key_named(name) {
                inner.owners.remove(header.owner, &key);
            }
        }
    }
    Ok(removed)
}

/// Deletes entries of the owners in one shard of the index that name no record of theirs, which
/// only a crash leaves over, and the folders of owners that have none.
fn sweep_owners(start: &str, inner: &Inner) -> io::Result<Step> {
    let mut step = Step::default();
    let Some(owners) = missing_is_none(inner.owners.shard(start))? else { return Ok(step) };
    for name in owners.names()? {
        let name = name?;
        let Some(owner) = key_named(&name).map(|key| OwnerKey::from_bytes(*key.as_bytes())) else {
            continue;
        };
        for key in inner.owners.keys_of(&owner)? {
            step.looked_at += 1;
            step.removed += usize::from(drop_entry(&owner, &key, inner)?);
        }
        owners.remove_empty(&name)?;
    }
    Ok(step)
}

/// Deletes an entry that names no record of its owner. Answers whether it did.
fn drop_entry(owner: &OwnerKey, key: &RecordKey, inner: &Inner) -> io::Result<bool> {
    let names_a_file = |shard: &Shard| -> io::Result<bool> {
        Ok(shard.header(&name_of(key))?.is_some_and(|header| header.owner == Some(*owner)))
    };
    let shard = missing_is_none(inner.shard(key))?;
    let stays = match &shard {
        Some(shard) if names_a_file(shard)? => true,
        Some(shard) => {
            let _lock = shard.take_lock()?;
            let stays = names_a_file(shard)?;
            if !stays {
                inner.owners.remove(Some(*owner), key);
            }
            stays
        }
        // Without its shard there is no record; one that is made now makes its entry anew.
        None => true,
    };
    Ok(!stays)
}
