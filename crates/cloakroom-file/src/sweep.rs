//! Deletes expired files, a few at a time.

use std::io;

use crate::{
    blocking_pool::is_short_of_descriptors,
    durability::Durability,
    entry::{Content, LATER_VERSION},
    folder::{Lock, Names, TEMPORARY},
    format::{Header, Kind},
    inner::{Inner, SHARDS, missing_is_none},
    names::{file_name, hex, key_of_file},
    shard::{Shard, is_aside_too_long},
};
use cloakroom_store::{OwnerKey, RecordKey, SweepProgress, SweepRound, clock::Timestamp};

const LOCK: &str = ".sweep.lock";
/// The number of expired files that are deleted while a shard's lock is held.
const BATCH: usize = 64;

/// A round over all files, first the shards and then the index of owners, with the position of the next
/// call. Its memory does not grow with the number of files.
pub(super) struct Round {
    _lock: Lock,
    place: usize,
    part: Option<Part>,
    /// Whether a file of a later version was found, which is logged once per round.
    met_later_version: bool,
}

/// One of the folders of a round.
enum Part {
    /// A shard, and the names of its files.
    Files(Shard, Names),
    /// A folder of the index: the names of its owners, and the position in one owner's entries.
    Owners(Names, Option<(OwnerKey, Option<RecordKey>)>),
}

/// The counts of one step.
#[derive(Default)]
struct Step {
    seen: usize,
    removed: usize,
}

/// Checks up to `limit` more files.
pub(super) fn resume(
    round: &mut Option<Round>,
    inner: &Inner,
    limit: usize,
) -> io::Result<SweepProgress> {
    let round = match round {
        Some(round) => round,
        None => match Round::begin(inner)? {
            Some(begun) => round.insert(begun),
            None => return Ok(SweepProgress::new(0, 0, SweepRound::Busy)),
        },
    };
    let mut swept = SweepProgress::new(0, 0, SweepRound::Ongoing);
    while swept.seen < limit && !swept.is_finished() {
        match round.step(inner, BATCH.min(limit - swept.seen))? {
            Some(Step { seen, removed }) => {
                swept.seen += seen;
                swept.removed += removed;
            }
            None => swept.round = SweepRound::Finished,
        }
    }
    Ok(swept)
}

impl Round {
    /// Begins a round. Returns `None` if another process sweeps.
    fn begin(inner: &Inner) -> io::Result<Option<Self>> {
        let lock = missing_is_none(inner.root().and_then(|root| root.try_lock(LOCK)))?;
        Ok(lock.map(|lock| Self { _lock: lock, place: 0, part: None, met_later_version: false }))
    }

    /// Checks up to `limit` entries of one folder. Returns `None` when the round is over.
    fn step(&mut self, inner: &Inner, limit: usize) -> io::Result<Option<Step>> {
        let name = |place: usize| hex(&[u8::try_from(place % SHARDS).unwrap_or_default()]);
        if let Some(part) = &mut self.part {
            let swept = match part {
                Part::Files(shard, names) => {
                    let names = names.by_ref().take(limit);
                    sweep_files(shard, names, inner, &mut self.met_later_version)
                }
                Part::Owners(owners, current) => sweep_owners(owners, current, inner, limit),
            };
            let step = skip_failure(&name(self.place - 1), swept)?;
            if step.seen == 0 {
                self.part = None;
            }
            return Ok(Some(step));
        }
        if self.place == 2 * SHARDS {
            return Ok(None);
        }
        let (place, name) = (self.place, name(self.place));
        self.place += 1;
        let part = if place < SHARDS { files_in(&name, inner) } else { owners_in(&name, inner) };
        self.part = skip_failure(&name, part)?;
        Ok(Some(Step::default()))
    }
}

/// Replaces a failure with a default value and a warning that names the file, so that the sweep continues
/// with the next file. Returns an error that every file would have.
fn skip_failure<T: Default>(name: &str, outcome: io::Result<T>) -> io::Result<T> {
    outcome.or_else(|error| {
        if is_short_of_descriptors(&error) {
            return Err(error);
        }
        tracing::warn!(name, %error, "the sweep could not read or delete a session file; continuing with the next");
        Ok(T::default())
    })
}

fn files_in(shard: &str, inner: &Inner) -> io::Result<Option<Part>> {
    let Some(folder) = missing_is_none(inner.root().and_then(|root| root.inner(shard)))? else {
        return Ok(None);
    };
    let names = folder.names()?;
    Ok(Some(Part::Files(Shard::new(folder), names)))
}

fn owners_in(shard: &str, inner: &Inner) -> io::Result<Option<Part>> {
    let folder = missing_is_none(inner.owners.shard(shard))?;
    folder.map(|folder| Ok(Part::Owners(folder.names()?, None))).transpose()
}

/// Deletes the expired ones among these files of a shard.
fn sweep_files(
    shard: &Shard,
    names: impl Iterator<Item = io::Result<String>>,
    inner: &Inner,
    met_later_version: &mut bool,
) -> io::Result<Step> {
    let now = inner.clock.now();
    let (mut seen, mut doomed) = (0, Vec::new());
    for name in names {
        let name = name?;
        seen += 1;
        if skip_failure(&name, is_doomed(shard, &name, inner, now, met_later_version))? {
            doomed.push(name);
        }
    }
    let removed = if doomed.is_empty() { 0 } else { delete(shard, &doomed, inner)? };
    Ok(Step { seen, removed })
}

/// Returns `true` for a file that can be deleted, after detaching the record that depends on it. Sets an
/// unreadable file aside.
fn is_doomed(
    shard: &Shard,
    name: &str,
    inner: &Inner,
    now: Timestamp,
    met_later_version: &mut bool,
) -> io::Result<bool> {
    let Some(key) = key_of_file(name) else { return Ok(is_left_over(name, now)) };
    let header = match shard.header(&key)? {
        Content::Whole(header, ()) => header,
        Content::Corrupt => {
            shard.set_aside(&key, now);
            return Ok(false);
        }
        Content::LaterVersion => {
            if !std::mem::replace(met_later_version, true) {
                tracing::warn!(?key, "{LATER_VERSION}");
            }
            return Ok(false);
        }
        Content::Nothing | Content::Foreign => return Ok(false),
    };
    let is_dead = is_dead(shard, &key, &header, now)?;
    if is_dead && let Some(to) = header.kind.made_live() {
        shard.detach(to, &key, inner.durability == Durability::Full)?;
    }
    Ok(is_dead)
}

/// Returns `true` for the name of a temporary file, or of one that was set aside long ago.
fn is_left_over(name: &str, now: Timestamp) -> bool {
    name.starts_with(TEMPORARY) || is_aside_too_long(name, now)
}

/// Returns `true` for a file that has expired, or that a crash left in the middle of a rotation.
fn is_dead(shard: &Shard, key: &RecordKey, header: &Header, now: Timestamp) -> io::Result<bool> {
    Ok(header.expires <= now
        || match &header.kind {
            Kind::Record { rotated_from: Some(from) } => !shard.was_rotated(from, key)?,
            _ => false,
        })
}

/// Checks the files again under the lock and deletes them. A session that was refreshed in between stays.
/// A temporary file has no writer, because writers hold the lock.
pub(super) fn delete(shard: &Shard, doomed: &[String], inner: &Inner) -> io::Result<usize> {
    let _lock = shard.take_lock()?;
    let mut removed = 0;
    for name in doomed {
        removed += usize::from(skip_failure(name, delete_one(shard, name, inner))?);
    }
    Ok(removed)
}

fn delete_one(shard: &Shard, name: &str, inner: &Inner) -> io::Result<bool> {
    let now = inner.clock.now();
    let Some(key) = key_of_file(name) else {
        return if is_left_over(name, now) { shard.folder().remove(name) } else { Ok(false) };
    };
    let Some(header) = shard.header(&key)?.header() else { return Ok(false) };
    let is_needed = || header.kind.made_live().map_or(Ok(false), |to| shard.depends(to, &key));
    if !is_dead(shard, &key, &header, now)? || is_needed()? {
        return Ok(false);
    }
    let removed = shard.folder().remove(name)?;
    inner.owners.remove(header.owner, &key);
    Ok(removed)
}

/// Checks the next `limit` entries. Deletes those without a record of their owner, which only a crash
/// leaves, and the folders of owners that have no entries.
fn sweep_owners(
    owners: &mut Names,
    current: &mut Option<(OwnerKey, Option<RecordKey>)>,
    inner: &Inner,
    limit: usize,
) -> io::Result<Step> {
    let mut step = Step::default();
    while step.seen < limit {
        let (owner, after) = match current.take() {
            Some(current) => current,
            None => match owners.next().transpose()? {
                Some(name) => match key_of_file(&name) {
                    Some(key) => (OwnerKey::from_bytes(*key.as_bytes()), None),
                    None => continue,
                },
                None => break,
            },
        };
        let (name, limit) = (hex(owner.as_bytes()), limit - step.seen);
        let mut keys = skip_failure(&name, inner.owners.keys_after(&owner, after, limit))?;
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        for key in &keys {
            let dropped = drop_entry(&owner, key, inner);
            step.removed += usize::from(skip_failure(&file_name(key), dropped)?);
        }
        // Checking an owner without entries is work as well.
        step.seen += keys.len().max(1);
        if has_more {
            *current = Some((owner, keys.last().copied()));
        } else {
            skip_failure(&name, inner.owners.remove_empty(&owner))?;
        }
    }
    Ok(step)
}

/// Deletes an entry without a record of its owner. Keeps an entry whose file a later version wrote.
/// Returns `true` if it was deleted.
fn drop_entry(owner: &OwnerKey, key: &RecordKey, inner: &Inner) -> io::Result<bool> {
    let names_a_file = |shard: &Shard| -> io::Result<bool> {
        Ok(match shard.header(key)? {
            Content::Whole(header, ()) => header.owner == Some(*owner),
            Content::LaterVersion => true,
            Content::Nothing | Content::Foreign | Content::Corrupt => false,
        })
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
        // Without the shard there is no record. A record that is created now adds its entry again.
        None => true,
    };
    Ok(!stays)
}
