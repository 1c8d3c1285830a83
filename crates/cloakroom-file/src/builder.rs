//! Settings of the store, and how it is opened.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use rustix::fs::Mode;

use cloakroom_store::{
    StoreError, SweepBudget,
    clock::{Clock, SystemClock},
};

use crate::{
    blocking_pool::{BlockingPool, failed},
    cached::Cached,
    durability::Durability,
    folder::{Flushed, Folder, make_folder},
    inner::{Inner, SHARDS},
    owners::Owners,
    queue::Queue,
    store::FileStore,
};

/// The settings of a [`FileStore`].
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until `open`"]
pub struct FileStoreBuilder {
    location: PathBuf,
    durability: Durability,
    clock: Arc<dyn Clock>,
    budget: Option<SweepBudget>,
}

impl FileStoreBuilder {
    pub(super) fn new(location: PathBuf) -> Self {
        Self {
            location,
            durability: Durability::default(),
            clock: Arc::new(SystemClock),
            budget: Some(SweepBudget::default()),
        }
    }

    /// Sets which changes survive a loss of power. Default: [`Durability::Full`], because a logout that
    /// was acknowledged must hold. [`Durability::Fast`] saves two waits for the disk per commit.
    ///
    /// ```no_run
    /// use cloakroom_file::{Durability, FileStore};
    ///
    /// let store = FileStore::builder("tmp/sessions").durability(Durability::Fast).open()?;
    /// # Ok::<(), cloakroom_store::StoreError>(())
    /// ```
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Sets how often and how fast expired files are deleted in the background. Default:
    /// [`SweepBudget::default`]. `None` turns the background task off, and then expired files stay until
    /// the application calls [`Sweep::sweep`](cloakroom_store::Sweep::sweep).
    ///
    /// ```no_run
    /// use cloakroom_file::FileStore;
    ///
    /// let store = FileStore::builder("tmp/sessions").sweep_budget(None).open()?;
    /// # Ok::<(), cloakroom_store::StoreError>(())
    /// ```
    pub fn sweep_budget(mut self, budget: Option<SweepBudget>) -> Self {
        self.budget = budget;
        self
    }

    /// Sets the clock. Default: the operating system's. Tests use another one.
    ///
    /// ```no_run
    /// use std::sync::Arc;
    /// use cloakroom_file::FileStore;
    /// use cloakroom_store::clock::SystemClock;
    ///
    /// let store = FileStore::builder("tmp/sessions").clock(Arc::new(SystemClock)).open()?;
    /// # Ok::<(), cloakroom_store::StoreError>(())
    /// ```
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Opens the store. Creates the folder, with mode 0700, if it does not exist.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    ///
    /// ```no_run
    /// use cloakroom_file::FileStore;
    ///
    /// let store = FileStore::builder("tmp/sessions").open()?;
    /// # Ok::<(), cloakroom_store::StoreError>(())
    /// ```
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
            is_swept: AtomicBool::new(false),
        })))
    }
}

/// Checks the folder. Warns if other users may read it.
fn check_folder(location: &Path) -> io::Result<()> {
    let folder = Folder::open(location)?;
    if folder.check_private()?.intersects(Mode::RWXG | Mode::RWXO) {
        tracing::warn!(
            ?location,
            "other users may read the folder of the sessions; give it mode 0700"
        );
    }
    folder.names().map(drop)
}
