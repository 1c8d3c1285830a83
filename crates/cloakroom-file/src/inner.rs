//! The state of a store, and the file work of its operations.

use std::{
    io,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use cloakroom_store::{Commit, Entry, Outcome, RecordKey, SweepBudget, clock::Clock};

use crate::{
    blocking_pool::BlockingPool,
    cached::Cached,
    durability::Durability,
    folder::{Flushed, Folder, make_folder},
    names::{hex, key_of_file, shard_name},
    owners::Owners,
    queue::Queue,
    shard::Shard,
    sweep::Round,
};

/// The number of shards.
pub(super) const SHARDS: usize = 256;

pub(super) struct Inner {
    pub(super) location: PathBuf,
    pub(super) durability: Durability,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) cached: Cached,
    pub(super) blocking_pool: BlockingPool,
    pub(super) queues: Box<[Queue]>,
    pub(super) owners: Owners,
    pub(super) flushed: Flushed,
    pub(super) round: Arc<Mutex<Option<Round>>>,
    pub(super) budget: Option<SweepBudget>,
    /// Whether a task sweeps the store in the background.
    pub(super) is_swept: AtomicBool,
}

impl Inner {
    /// Opens the location. Fails if it does not exist or another user may write into it.
    pub(super) fn root(&self) -> io::Result<Folder> {
        let root = Folder::open(&self.location)?;
        root.check_private()?;
        Ok(root)
    }

    /// Opens the shard of `key`. Returns `None` if its folder does not exist.
    pub(super) fn shard(&self, key: &RecordKey) -> io::Result<Option<Shard>> {
        Ok(self.root()?.inner(&shard_name(key))?.map(Shard::new))
    }

    /// Opens the shard of `key`. Creates its folder if it does not exist, and the location if it was
    /// deleted.
    fn shard_or_new(&self, key: &RecordKey) -> io::Result<Shard> {
        let root = match self.root() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(&self.location)?;
                self.root()?
            }
            root => root?,
        };
        let (folder, made) = root.inner_or_new(&shard_name(key))?;
        if self.durability == Durability::Full {
            self.flushed.once(key.tag()[0], |is_first| {
                if made || is_first { root.flush() } else { Ok(()) }
            })?;
        }
        Ok(Shard::new(folder))
    }

    /// Loads the entry under `key`. A file that was found needs no check of the location, because its
    /// checksum has the key. If no file was found, the location is checked, because another user may
    /// have replaced it.
    pub(super) fn load(&self, key: &RecordKey) -> io::Result<Option<Entry>> {
        let shard = Folder::open(&self.location).and_then(|root| root.inner(&shard_name(key)));
        let found = match missing_is_none(shard)? {
            Some(folder) => Shard::new(folder).load(key, self.clock.now())?,
            None => None,
        };
        if found.is_none() {
            missing_is_none(self.root().map(Some))?;
        }
        Ok(found)
    }

    /// Carries out commits of one shard under one hold of its lock. A flush of its folder at the end
    /// makes all of them durable.
    pub(super) fn commit(&self, commits: Vec<Commit>) -> io::Result<Vec<io::Result<Outcome>>> {
        let Some(key) = commits.first().map(Commit::key) else { return Ok(Vec::new()) };
        let shard = if commits.iter().any(|commit| matches!(commit, Commit::Create { .. })) {
            Some(self.shard_or_new(&key)?)
        } else {
            missing_is_none(self.shard(&key))?
        };
        let Some(shard) = shard else {
            return Ok(commits.iter().map(|_| Ok(Outcome::Gone)).collect());
        };
        let flushed = self.durability == Durability::Full;
        let locked = shard.lock(self.clock.now(), flushed, &self.owners)?;
        let outcomes = commits.into_iter().map(|commit| locked.carry_out(commit)).collect();
        locked.finish()?;
        Ok(outcomes)
    }

    /// Returns the keys of all files in a shard.
    pub(super) fn keys_in(&self, shard: u8) -> io::Result<Vec<RecordKey>> {
        let folder = self.root().and_then(|root| root.inner(&hex(&[shard])));
        let Some(folder) = missing_is_none(folder)? else { return Ok(Vec::new()) };
        let keys = folder.names()?.map(|name| name.map(|name| key_of_file(&name)));
        keys.filter_map(Result::transpose).collect()
    }
}

/// Turns the error about a missing location into `None`, because a deleted location has no files.
pub(super) fn missing_is_none<T>(found: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other,
    }
}
