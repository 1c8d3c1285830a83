//! The store as the library calls it: hands file work to the pool.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, Weak, atomic::Ordering},
};

use async_trait::async_trait;

use cloakroom_store::{
    Commit, Cursor, Entry, KeyPage, Outcome, OwnerIndex, RecordKey, Scan, Store, StoreError, Sweep,
    SweepProgress, sweep_in_background,
};

use crate::{builder::FileStoreBuilder, inner::Inner, sweep};

/// Stores records in files of this machine. Use it for applications that run on one machine, in any
/// number of processes, and whose sessions survive restarts. Use the Redis driver for several machines.
/// Available on Linux, macOS and BSD.
///
/// Clones share one store and are cheap. A background task deletes expired files within its
/// [budget](FileStoreBuilder::sweep_budget) as long as the store is in use.
///
/// ```no_run
/// use cloakroom_file::FileStore;
///
/// let store = FileStore::open("tmp/sessions")?;
/// # Ok::<(), cloakroom_store::StoreError>(())
/// ```
#[derive(Clone)]
pub struct FileStore(pub(super) Arc<Inner>);

impl FileStore {
    /// Opens the store in the folder `location` with the default settings. Creates the folder, with mode
    /// 0700, if it does not exist.
    ///
    /// # Errors
    /// When the folder cannot be created or read, belongs to another user, or may be written by others.
    ///
    /// ```no_run
    /// use cloakroom_file::FileStore;
    ///
    /// let store = FileStore::open("tmp/sessions")?;
    /// # Ok::<(), cloakroom_store::StoreError>(())
    /// ```
    pub fn open(location: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::builder(location).open()
    }

    /// Returns a builder for a store in the folder `location`.
    ///
    /// ```no_run
    /// use cloakroom_file::{Durability, FileStore};
    ///
    /// let store = FileStore::builder("tmp/sessions").durability(Durability::Fast).open()?;
    /// # Ok::<(), cloakroom_store::StoreError>(())
    /// ```
    pub fn builder(location: impl Into<PathBuf>) -> FileStoreBuilder {
        FileStoreBuilder::new(location.into())
    }

    /// Returns the folder of the files, as an absolute path.
    ///
    /// ```no_run
    /// use cloakroom_file::FileStore;
    ///
    /// assert!(FileStore::open("tmp/sessions")?.location().ends_with("tmp/sessions"));
    /// # Ok::<(), cloakroom_store::StoreError>(())
    /// ```
    pub fn location(&self) -> &Path {
        &self.0.location
    }

    /// Starts the background sweep at the first use, because a runtime may not exist before. Starts it again
    /// if its runtime has ended.
    fn keep_swept(&self) {
        let Some(budget) = self.0.budget else { return };
        let is_swept = &self.0.is_swept;
        if !is_swept.load(Ordering::Relaxed) && !is_swept.swap(true, Ordering::SeqCst) {
            let swept = Swept(Arc::downgrade(&self.0));
            sweep_in_background(budget, move || swept.0.upgrade().map(Self));
        }
    }
}

/// A store that a task sweeps in the background. The task may be dropped at any time, because its runtime may
/// end before the store.
struct Swept(Weak<Inner>);

impl Drop for Swept {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            // The round holds the lock that keeps other processes from sweeping.
            *inner.round.lock().unwrap_or_else(PoisonError::into_inner) = None;
            inner.is_swept.store(false, Ordering::SeqCst);
        }
    }
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
        let shard = usize::from(commit.key().tag()[0]);
        let inner = self.0.clone();
        let outcome = inner.queues[shard].add(commit);
        let group = move || {
            inner.queues[shard].carry_out(|commits| inner.commit(commits));
            Ok(())
        };
        self.0.blocking_pool.write(shard, "write a session file", outcome, group).await
    }
}

/// Returns one shard per page.
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

/// One process sweeps at a time. In another process, a call returns at once and its round is over.
#[async_trait]
impl Sweep for FileStore {
    async fn sweep(&self, limit: usize) -> Result<SweepProgress, StoreError> {
        let (inner, round) = (self.0.clone(), self.0.round.clone());
        let sweep = move || {
            let mut round = round.lock().unwrap_or_else(PoisonError::into_inner);
            let swept = sweep::resume(&mut round, &inner, limit);
            if !swept.as_ref().is_ok_and(|swept| !swept.is_finished()) {
                *round = None;
            }
            swept
        };
        self.0.blocking_pool.sweep("sweep the session files", sweep).await
    }
}

/// Shows the settings.
impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { location, durability, .. } = &*self.0;
        f.debug_struct("FileStore")
            .field("location", location)
            .field("durability", durability)
            .finish_non_exhaustive()
    }
}
