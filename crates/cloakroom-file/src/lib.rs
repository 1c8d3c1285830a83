//! The file driver: sessions of one machine, whatever the number of its processes.
//!
//! # Layout
//! ```text
//! tmp/sessions/                0700
//!   4f/                        0700, one of 256 shards, by the key's tag
//!     4f2a…9c                  0600, a record or a tombstone, named by its key in hexadecimal
//!     4f2a…9c.1735….corrupt    a file that could not be read, and when it was found, kept for a day
//!     .lock                    held while a file of the shard changes
//!   owners/4f/4f2a…/9c/9c01…   the index of owners: owner 4f2a… has record 9c01…
//!   .sweep.lock                held by the process that sweeps
//! ```
//!
//! # How it writes
//! Under the shard's lock: a temporary file in the same folder, its contents, fsync, rename, fsync of
//! the folder. Commits of one shard that wait in one process at the same time form a group: the lock
//! is taken once, each has its own file, fsync and rename, and one fsync of the folder follows. All
//! are acknowledged after it, or all fail with its error. Rotations and destructions form no groups,
//! because they flush between their steps. Readers take no lock and find the old file or the new one,
//! never a part. A process that crashes lets go of its lock; a crash between any two of these steps
//! leaves the old record or the new one.
//!
//! # How it reads
//! A load of a file that the kernel has in its caches takes place on the calling thread, without
//! waiting. Every other piece of file work is handed to a pool of threads.
//!
//! # What it trusts
//! Each commit checks that the location belongs to this process's user and that no other user may
//! write into it, because someone else may have made it again after it was deleted. So does a load
//! that finds nothing. A file counts
//! under the name that it was written under, whatever it is renamed, copied or linked to. A backup of
//! hard links (`cp -l`) is good: no file changes once it has its name.
//!
//! # Rotations
//! A rotation changes two files. The new record is written first and names the key that it comes
//! from; it is not live before the tombstone under that key leads to it. Renaming the tombstone into
//! its place is the one step that ends the old record and makes the new one live. If anything else is
//! in the tombstone's place, or nothing, the new record is not live.
//!
//! A change of the new record leaves out the key that it comes from. If there was none until the
//! tombstone expires, the sweep writes the record again without it, and removes the tombstone then.
//!
//! # Later versions
//! A file that names a later version of the format is not read, and nothing replaces, renames or
//! removes it: a later version of the library may run beside this one.
//!
//! # Where it may live
//! On a local file system of Linux, macOS or a BSD, whose renames are atomic and whose `flock` holds
//! between processes: ext4, xfs, btrfs, zfs, apfs, tmpfs and overlayfs do. Not on NFS or SMB: take
//! Redis for several machines.

#![cfg(unix)]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod blocking_pool;
mod cached;
mod folder;
mod format;
mod owners;
mod queue;
mod shard;
mod sweep;
#[cfg(test)]
mod tests;

pub use cloakroom_store::SweepBudget;
use std::{
    fmt, io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, Once, PoisonError},
};

use async_trait::async_trait;
use rustix::fs::Mode;

use blocking_pool::{BlockingPool, failed};
use cached::Cached;
use cloakroom_store::{
    Commit, Cursor, Entry, KeyPage, Outcome, OwnerIndex, RecordKey, Scan, Store, StoreError, Sweep,
    SweepProgress,
    clock::{Clock, SystemClock},
    sweep_in_background,
};
use folder::{Flushed, Folder};
use owners::{Owners, key_named};
use queue::Queue;
use shard::{Shard, hex};
use sweep::Round;

const SHARDS: usize = 256;

/// What survives a loss of power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Every commit that was acknowledged: each waits for the disk, twice.
    #[default]
    Full,
    /// What the operating system had written by then: no commit waits for the disk, and the last
    /// seconds before a loss of power may be lost, as whole commits. A crash of the application
    /// loses nothing.
    Fast,
}

/// Keeps records in files of this machine: for applications that run on one machine, in as many
/// processes as they like, and whose sessions outlive restarts. For several machines use the Redis
/// driver. Linux, macOS and BSD.
///
/// Cheap to clone. Expired files are deleted by a background task, within its
/// [budget](FileStoreBuilder::sweep_budget), as long as the store is in use.
///
/// ```no_run
/// use cloakroom_file::FileStore;
///
/// let store = FileStore::open("tmp/sessions")?;
/// # Ok::<(), cloakroom_store::StoreError>(())
/// ```
#[derive(Clone)]
pub struct FileStore(Arc<Inner>);

struct Inner {
    location: PathBuf,
    durability: Durability,
    clock: Arc<dyn Clock>,
    cached: Cached,
    blocking_pool: BlockingPool,
    queues: Box<[Queue]>,
    owners: Owners,
    flushed: Flushed,
    round: Arc<Mutex<Option<Round>>>,
    budget: Option<SweepBudget>,
    sweeping: Once,
}

impl FileStore {
    /// Opens the store in the folder `location`, which is made where there is none.
    ///
    /// # Errors
    /// When the folder cannot be made or read, belongs to another user, or may be written by others.
    pub fn open(location: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::builder(location).open()
    }

    /// The store in the folder `location`, with settings.
    pub fn builder(location: impl Into<PathBuf>) -> FileStoreBuilder {
        FileStoreBuilder {
            location: location.into(),
            durability: Durability::default(),
            clock: Arc::new(SystemClock),
            budget: Some(SweepBudget::default()),
        }
    }

    /// Where the files are.
    pub fn location(&self) -> &Path {
        &self.0.location
    }

    /// Has the background task run, from the first use on: only then a runtime is sure to be there.
    fn keep_swept(&self) {
        let Some(budget) = self.0.budget else { return };
        self.0.sweeping.call_once(|| {
            let store = Arc::downgrade(&self.0);
            sweep_in_background(budget, move || store.upgrade().map(Self));
        });
    }
}

impl Inner {
    /// Opens the location, if it is there and still fit for sessions.
    fn root(&self) -> io::Result<Folder> {
        let root = Folder::open(&self.location)?;
        root.check_private()?;
        Ok(root)
    }

    /// The folder of `key`'s shard, if it is there.
    fn shard(&self, key: &RecordKey) -> io::Result<Option<Shard>> {
        Ok(self.root()?.inner(&shard_name(key))?.map(Shard::new))
    }

    /// The same; it is made where there is none, and so is the location if someone deleted it.
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

    /// A file of ours is good wherever it is. That there is none means something only in a location
    /// that is fit for sessions.
    fn load(&self, key: &RecordKey) -> io::Result<Option<Entry>> {
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
    fn commit(&self, commits: Vec<Commit>) -> io::Result<Vec<io::Result<Outcome>>> {
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

    /// Every key of a shard.
    fn keys_in(&self, shard: u8) -> io::Result<Vec<RecordKey>> {
        let folder = self.root().and_then(|root| root.inner(&hex(&[shard])));
        let Some(folder) = missing_is_none(folder)? else { return Ok(Vec::new()) };
        let keys = folder.names()?.filter_map(|name| name.map(|it| key_named(&it)).transpose());
        keys.collect()
    }
}

/// A location that was deleted holds nothing.
fn missing_is_none<T>(found: io::Result<Option<T>>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other,
    }
}

/// By the tag, so that both files of a rotation are in one folder, under one lock.
fn shard_of(key: &RecordKey) -> usize {
    usize::from(key.tag()[0])
}

fn shard_name(key: &RecordKey) -> String {
    hex(&key.tag()[..1])
}

#[async_trait]
impl Store for FileStore {
    fn name(&self) -> &'static str {
        "file"
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.keep_swept();
        if let Ok(found) = self.0.cached.load(&self.0.location, key, self.0.clock.now()) {
            return Ok(found);
        }
        let (inner, key) = (self.0.clone(), *key);
        self.0.blocking_pool.read("read a session file", move || inner.load(&key)).await
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        Some(self)
    }

    fn as_scan(&self) -> Option<&dyn Scan> {
        Some(self)
    }

    fn as_sweep(&self) -> Option<&dyn Sweep> {
        Some(self)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.keep_swept();
        let shard = shard_of(&commit.key());
        let inner = self.0.clone();
        let outcome = inner.queues[shard].add(commit);
        let group = move || {
            inner.queues[shard].carry_out(|commits| inner.commit(commits));
            Ok(())
        };
        self.0.blocking_pool.write(shard, "write a session file", outcome, group).await
    }
}

/// One shard a page.
#[async_trait]
impl Scan for FileStore {
    async fn scan(&self, from: Cursor) -> Result<KeyPage, StoreError> {
        let Ok(shard) = u8::try_from(from.part()) else { return Ok(KeyPage::default()) };
        let inner = self.0.clone();
        let list = move || inner.keys_in(shard);
        let keys = self.0.blocking_pool.read("list the session files", list).await?;
        Ok(KeyPage::new(keys, Some(Cursor::new(from.part() + 1, 0))))
    }
}

/// One process at a time sweeps; for another there is nothing to do, and its round is finished.
#[async_trait]
impl Sweep for FileStore {
    async fn sweep(&self, limit: usize) -> Result<SweepProgress, StoreError> {
        let (inner, round) = (self.0.clone(), self.0.round.clone());
        let sweep = move || {
            let mut round = round.lock().unwrap_or_else(PoisonError::into_inner);
            let swept = sweep::go_on(&mut round, &inner, limit);
            if !swept.as_ref().is_ok_and(|swept| !swept.is_finished()) {
                *round = None;
            }
            swept
        };
        self.0.blocking_pool.sweep("sweep the session files", sweep).await
    }
}

/// Shows settings.
impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { location, durability, .. } = &*self.0;
        f.debug_struct("FileStore")
            .field("location", location)
            .field("durability", durability)
            .finish_non_exhaustive()
    }
}

/// Settings of a [`FileStore`].
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until `open`"]
pub struct FileStoreBuilder {
    location: PathBuf,
    durability: Durability,
    clock: Arc<dyn Clock>,
    budget: Option<SweepBudget>,
}

impl FileStoreBuilder {
    /// What survives a loss of power. Default: [`Durability::Full`].
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// How fast expired files are deleted in the background, and how often. Default:
    /// [`SweepBudget::default`]. With none nothing is deleted until someone calls
    /// [`Sweep::sweep`].
    pub fn sweep_budget(mut self, budget: Option<SweepBudget>) -> Self {
        self.budget = budget;
        self
    }

    /// Where the time comes from. Default: the operating system.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the store; see [`FileStore::open`].
    ///
    /// # Errors
    /// As there.
    pub fn open(self) -> Result<FileStore, StoreError> {
        let Self { location, durability, clock, budget } = self;
        let opened = make_folder(&location)
            .and_then(|()| location.canonicalize())
            .and_then(|location| check_folder(&location).map(|()| location));
        let location = opened.map_err(|error| {
            failed(format!("open the session files in {}", location.display()), error)
        })?;
        Ok(FileStore(Arc::new(Inner {
            owners: Owners::new(location.clone()),
            flushed: Flushed::default(),
            location,
            durability,
            clock,
            cached: Cached::default(),
            blocking_pool: BlockingPool::new(SHARDS),
            queues: std::iter::repeat_with(Queue::default).take(SHARDS).collect(),
            round: Arc::default(),
            budget,
            sweeping: Once::new(),
        })))
    }
}

/// The folder itself is private; those above it are made as usual.
fn make_folder(location: &Path) -> io::Result<()> {
    if let Some(parent) = location.parent() {
        std::fs::create_dir_all(parent)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(location) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Warns of a mode that lets others look.
fn check_folder(location: &Path) -> io::Result<()> {
    let folder = Folder::open(location)?;
    if folder.check_private()?.intersects(Mode::RWXG | Mode::RWXO) {
        tracing::warn!(
            ?location,
            "others may look into the folder of the sessions; mode 0700 is better"
        );
    }
    folder.names().map(drop)
}
