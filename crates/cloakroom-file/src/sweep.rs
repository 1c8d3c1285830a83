//! Deleting what has expired, a few files at a time.

use std::io;

use crate::{
    Durability, Inner, SHARDS,
    blocking_pool::is_short_of_descriptors,
    folder::{Lock, Names, TEMPORARY},
    format::{Header, Kind},
    missing_is_none,
    owners::key_named,
    shard::{Content, LATER_VERSION, Shard, hex, is_aside_too_long, name_of},
};
use cloakroom_store::{OwnerKey, RecordKey, SweepProgress, SweepRound, clock::Timestamp};

const LOCK: &str = ".sweep.lock";
/// So many expired files are deleted under one hold of a shard's lock.
const BATCH: usize = 64;

/// A round over all files, first the shards and then the index of owners, with the place where the
/// next call goes on. Memory does not grow with the number of files.
pub(super) struct Round {
    _lock: Lock,
    place: usize,
    part: Option<Part>,
    /// Whether a file of a later version was met, which is logged once a round.
    met_later_version: bool,
}

/// One of the folders that a round goes through.
enum Part {
    /// A shard, and the names of its files.
    Files(Shard, Names),
    /// A folder of the index: the names of its owners, and how far the sweep has come with one.
    Owners(Names, Option<(OwnerKey, Option<RecordKey>)>),
}

/// What one step did.
#[derive(Default)]
struct Step {
    seen: usize,
    removed: usize,
}

/// Looks at up to `limit` more files.
pub(super) fn go_on(
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
    /// Begins a round, unless another process is at it.
    fn begin(inner: &Inner) -> io::Result<Option<Self>> {
        let lock = missing_is_none(inner.root().and_then(|root| root.try_lock(LOCK)))?;
        Ok(lock.map(|lock| Self { _lock: lock, place: 0, part: None, met_later_version: false }))
    }

    /// Looks at up to `limit` entries of one folder. Returns `None` when the round is over.
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
            let step = passed_over(&name(self.place - 1), swept)?;
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
        self.part = passed_over(&name, part)?;
        Ok(Some(Step::default()))
    }
}

/// Replaces a failure with a default value and a warning that names the file, so that the sweep goes
/// on. Returns an error that would meet every file, because going on makes no sense then.
fn passed_over<T: Default>(name: &str, outcome: io::Result<T>) -> io::Result<T> {
    outcome.or_else(|error| {
        if is_short_of_descriptors(&error) {
            return Err(error);
        }
        tracing::warn!(name, %error, "the sweep cannot read or delete a session file; going on with the next");
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

/// Deletes what has expired among these files of a shard.
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
        if passed_over(&name, is_doomed(shard, &name, inner, now, met_later_version))? {
            doomed.push(name);
        }
    }
    let removed = if doomed.is_empty() { 0 } else { delete(shard, &doomed, inner)? };
    Ok(Step { seen, removed })
}

/// Returns `true` for a file to delete, and makes it ready for that. Sets aside what cannot be read.
fn is_doomed(
    shard: &Shard,
    name: &str,
    inner: &Inner,
    now: Timestamp,
    met_later_version: &mut bool,
) -> io::Result<bool> {
    let Some(key) = key_named(name) else { return Ok(is_left_over(name, now)) };
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

/// Returns `true` for the name of a file that is no record and is not needed any more.
fn is_left_over(name: &str, now: Timestamp) -> bool {
    name.starts_with(TEMPORARY) || is_aside_too_long(name, now)
}

/// Returns `true` for a file that leads nowhere any more: expired, or left over by a rotation that a
/// crash interrupted.
fn is_dead(shard: &Shard, key: &RecordKey, header: &Header, now: Timestamp) -> io::Result<bool> {
    Ok(header.expires <= now
        || match &header.kind {
            Kind::Record { rotated_from: Some(from) } => !shard.was_rotated(from, key)?,
            _ => false,
        })
}

/// Looks again under the lock, where nothing changes, and deletes: a session that was refreshed since
/// stays, and a temporary file found here has no writer any more.
pub(super) fn delete(shard: &Shard, doomed: &[String], inner: &Inner) -> io::Result<usize> {
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
    let is_needed = || header.kind.made_live().map_or(Ok(false), |to| shard.depends(to, &key));
    if !is_dead(shard, &key, &header, now)? || is_needed()? {
        return Ok(false);
    }
    let removed = shard.folder().remove(name)?;
    inner.owners.remove(header.owner, &key);
    Ok(removed)
}

/// Deletes entries that name no record of their owner, which only a crash leaves over, among the next
/// `limit` entries, and the folders of owners that have none.
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
                Some(name) => match key_named(&name) {
                    Some(key) => (OwnerKey::from_bytes(*key.as_bytes()), None),
                    None => continue,
                },
                None => break,
            },
        };
        let (name, limit) = (hex(owner.as_bytes()), limit - step.seen);
        let mut keys = passed_over(&name, inner.owners.keys_after(&owner, after, limit))?;
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        for key in &keys {
            let dropped = drop_entry(&owner, key, inner);
            step.removed += usize::from(passed_over(&name_of(key), dropped)?);
        }
        // To look at an owner without entries is work as well.
        step.seen += keys.len().max(1);
        if has_more {
            *current = Some((owner, keys.last().copied()));
        } else {
            passed_over(&name, inner.owners.remove_empty(&owner))?;
        }
    }
    Ok(step)
}

/// Deletes an entry that names no record of its owner. Returns whether it did. Keeps an entry
/// whose file a later version wrote.
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
        // Without its shard there is no record; one that is made now makes its entry again.
        None => true,
    };
    Ok(!stays)
}
