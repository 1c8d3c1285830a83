//! Deleting what has expired, a few files at a time.

use std::{io, sync::Arc};

use super::{
    Inner, SHARDS,
    folder::{Lock, Names, TEMPORARY},
    format::{Header, Kind},
    missing_is_none,
    offload::is_short_of_descriptors,
    owners::key_named,
    shard::{Shard, hex, is_aside_too_long, name_of},
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
    seen: usize,
    removed: usize,
}

/// Looks at up to `limit` more files.
pub(super) fn go_on(round: &mut Option<Round>, inner: &Inner, limit: usize) -> io::Result<Swept> {
    let round = match round {
        Some(round) => round,
        None => match Round::begin(inner)? {
            Some(begun) => round.insert(begun),
            None => return Ok(Swept { seen: 0, removed: 0, finished: true, busy: true }),
        },
    };
    let mut swept = Swept { seen: 0, removed: 0, finished: false, busy: false };
    while swept.seen < limit && !swept.finished {
        match round.step(inner)? {
            Some(Step { seen, removed }) => {
                swept.seen += seen;
                swept.removed += removed;
            }
            None => swept.finished = true,
        }
    }
    Ok(swept)
}

impl Round {
    /// Begins a round, unless another process is at it.
    fn begin(inner: &Inner) -> io::Result<Option<Self>> {
        let lock = missing_is_none(inner.root().and_then(|root| root.try_lock(LOCK)))?;
        Ok(lock.map(|lock| Self { _lock: lock, place: 0, shard: None }))
    }

    /// Goes on; nothing when the round is over.
    fn step(&mut self, inner: &Inner) -> io::Result<Option<Step>> {
        let name = |place: usize| hex(&[u8::try_from(place % SHARDS).unwrap_or_default()]);
        if let Some((shard, names)) = &mut self.shard {
            let step = passed_over(&name(self.place - 1), sweep_files(shard, names, inner))?;
            if step.seen == 0 {
                self.shard = None;
            }
            return Ok(Some(step));
        }
        let (place, name) = (self.place, name(self.place));
        self.place += 1;
        if place < SHARDS {
            self.shard = passed_over(&name, shard_named(&name, inner))?;
            Ok(Some(Step::default()))
        } else if place < 2 * SHARDS {
            passed_over(&name, sweep_owners(&name, inner)).map(Some)
        } else {
            Ok(None)
        }
    }
}

/// Takes nothing for what could not be done to `name`, with a warning, so that the sweep goes on. An
/// error that would meet every file ends the sweep.
fn passed_over<T: Default>(name: &str, outcome: io::Result<T>) -> io::Result<T> {
    outcome.or_else(|error| {
        if is_short_of_descriptors(&error) {
            return Err(error);
        }
        tracing::warn!(name, %error, "the sweep cannot read or delete a session file; going on with the next");
        Ok(T::default())
    })
}

fn shard_named(name: &str, inner: &Inner) -> io::Result<Option<(Arc<Shard>, Names)>> {
    let Some(folder) = missing_is_none(inner.root().and_then(|root| root.inner(name)))? else {
        return Ok(None);
    };
    let names = folder.names()?;
    Ok(Some((Arc::new(Shard::new(folder)), names)))
}

/// Deletes what has expired among the next few files of a shard.
fn sweep_files(shard: &Arc<Shard>, names: &mut Names, inner: &Inner) -> io::Result<Step> {
    let now = inner.clock.now();
    let (mut seen, mut doomed) = (0, Vec::new());
    for name in names.by_ref().take(BATCH) {
        let name = name?;
        seen += 1;
        let is_doomed = || -> io::Result<bool> {
            let Some(key) = key_named(&name) else { return Ok(is_left_over(&name, now)) };
            let header = shard.header_or_set_aside(&key, now)?;
            header.map_or(Ok(false), |header| is_dead(shard, &key, &header, now))
        };
        if passed_over(&name, is_doomed())? {
            doomed.push(name);
        }
    }
    let removed = if doomed.is_empty() { 0 } else { delete(shard, &doomed, inner)? };
    Ok(Step { seen, removed })
}

/// Returns `true` for the name of a file that is no record and is not needed any more.
fn is_left_over(name: &str, now: Timestamp) -> bool {
    name.starts_with(TEMPORARY) || is_aside_too_long(name, now)
}

/// Returns `true` for a file that leads nowhere any more: expired, or left over by a rotation that a
/// crash interrupted.
fn is_dead(shard: &Shard, key: &RecordKey, header: &Header, now: Timestamp) -> io::Result<bool> {
    Ok(header.expires <= now
        || match &header.kind {
            Kind::Record { rotated_from: Some(from) } => !shard.was_rotated(from, key, now)?,
            _ => false,
        })
}

/// Looks again under the lock, where nothing changes, and deletes: a session that was refreshed since
/// stays, and a temporary file found here has no writer any more.
pub(super) fn delete(shard: &Arc<Shard>, doomed: &[String], inner: &Inner) -> io::Result<usize> {
    let _lock = shard.take_lock()?;
    let mut removed = 0;
    for name in doomed {
        removed += usize::from(passed_over(name, delete_one(shard, name, inner))?);
    }
    Ok(removed)
}

fn delete_one(shard: &Shard, name: &str, inner: &Inner) -> io::Result<bool> {
    let now = inner.clock.now();
    let Some(key) = key_named(name) else {
        return if is_left_over(name, now) { shard.folder().remove(name) } else { Ok(false) };
    };
    let Some(header) = shard.header(&key)?.header() else { return Ok(false) };
    if !is_dead(shard, &key, &header, now)? {
        return Ok(false);
    }
    let removed = shard.folder().remove(name)?;
    inner.owners.remove(header.owner, &key);
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
        for key in passed_over(&name, inner.owners.keys_of(&owner))? {
            step.seen += 1;
            let dropped = drop_entry(&owner, &key, inner);
            step.removed += usize::from(passed_over(&name_of(&key), dropped)?);
        }
        passed_over(&name, inner.owners.remove_empty(&owner))?;
    }
    Ok(step)
}

/// Deletes an entry that names no record of its owner. Answers whether it did.
fn drop_entry(owner: &OwnerKey, key: &RecordKey, inner: &Inner) -> io::Result<bool> {
    let names_a_file = |shard: &Shard| -> io::Result<bool> {
        Ok(shard.header(key)?.header().is_some_and(|header| header.owner == Some(*owner)))
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
