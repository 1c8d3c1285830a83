//! A memory store for tests: it notes every call, and hooks make it slow, faulty or contested.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cloakroom::{
    MemoryStore, async_trait,
    clock::FakeClock,
    store::{
        Commit, Cursor, Entry, KeyPage, Outcome, OwnerIndex, OwnerKey, RecordKey, Store, StoreError,
    },
};

/// Code around the calls of a [`TestStore`]. By default each call goes to the memory store.
#[async_trait]
pub trait Hooks: fmt::Debug + Send + Sync + 'static {
    /// Runs before a record is loaded.
    async fn before_load(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// Runs after a record was loaded.
    async fn after_load(
        &self,
        _: &MemoryStore,
        _: &RecordKey,
        _: Option<&Entry>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    /// Runs before a commit. An outcome takes the place of the commit.
    async fn before_commit(
        &self,
        _: &MemoryStore,
        _: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        Ok(None)
    }

    /// Runs after a commit.
    async fn after_commit(&self) {}

    /// Lists keys of an owner.
    async fn keys_of(
        &self,
        store: &MemoryStore,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        store.keys_of(owner, from, limit).await
    }
}

/// No hooks.
impl Hooks for () {}

/// A memory store with hooks that notes its calls.
#[derive(Debug)]
pub struct TestStore<H = ()> {
    /// The records.
    pub records: MemoryStore,
    /// The hooks.
    pub hooks: H,
    calls: Mutex<Vec<(&'static str, RecordKey)>>,
}

impl<H: Hooks> TestStore<H> {
    /// Makes an empty store by this clock.
    pub fn new(hooks: H, clock: &Arc<FakeClock>) -> Arc<Self> {
        let records = MemoryStore::with_clock(clock.clone());
        Arc::new(Self { records, hooks, calls: Mutex::default() })
    }

    /// Returns the names of the calls since the last time: `load`, or the name of the commit.
    pub fn calls(&self) -> Vec<&'static str> {
        self.keyed_calls().into_iter().map(|(call, _)| call).collect()
    }

    /// Returns the calls since the last time with their keys.
    pub fn keyed_calls(&self) -> Vec<(&'static str, RecordKey)> {
        std::mem::take(&mut *lock(&self.calls))
    }

    /// Returns how many calls were made since the last time.
    pub fn count(&self, call: &str) -> usize {
        self.calls().into_iter().filter(|made| *made == call).count()
    }
}

#[async_trait]
impl<H: Hooks> Store for TestStore<H> {
    fn name(&self) -> &'static str {
        self.records.name()
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        lock(&self.calls).push(("load", *key));
        self.hooks.before_load().await?;
        let found = self.records.load(key).await?;
        self.hooks.after_load(&self.records, key, found.as_ref()).await?;
        Ok(found)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        lock(&self.calls).push((commit.name(), commit.key()));
        let replaced = self.hooks.before_commit(&self.records, &commit).await?;
        let outcome = match replaced {
            Some(outcome) => Ok(outcome),
            None => self.records.commit(commit).await,
        };
        self.hooks.after_commit().await;
        outcome
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        Some(self)
    }

    fn as_scan(&self) -> Option<&dyn cloakroom::store::Scan> {
        self.records.as_scan()
    }

    fn as_sweep(&self) -> Option<&dyn cloakroom::store::Sweep> {
        self.records.as_sweep()
    }
}

#[async_trait]
impl<H: Hooks> OwnerIndex for TestStore<H> {
    async fn keys_of(
        &self,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        self.hooks.keys_of(&self.records, owner, from, limit).await
    }
}

/// The behaviour of the server behind a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// It is healthy.
    #[default]
    None,
    /// It cannot be reached.
    Unavailable,
    /// Its disk is full.
    Failed,
    /// It never replies.
    Hangs,
    /// It takes this long.
    Slow(Duration),
}

impl Fault {
    async fn meet(self) -> Result<(), StoreError> {
        match self {
            Self::None => {}
            Self::Unavailable => {
                return Err(StoreError::unavailable(
                    "reach the secret-host:6379",
                    "connection refused",
                ));
            }
            Self::Failed => return Err(StoreError::failed("write the record", "disk full")),
            Self::Hangs => std::future::pending().await,
            Self::Slow(span) => tokio::time::sleep(span).await,
        }
        Ok(())
    }
}

/// Hooks with faults that a test sets while the store is in use.
#[derive(Debug, Default)]
pub struct Faults {
    loads: Mutex<Fault>,
    commits: Mutex<Vec<(&'static str, Fault)>>,
}

/// A store whose faults a test sets.
pub type FaultyStore = TestStore<Faults>;

impl FaultyStore {
    /// Sets the fault of loads.
    pub fn on_load(&self, fault: Fault) {
        *lock(&self.hooks.loads) = fault;
    }

    /// Sets the fault of all commits.
    pub fn on_commit(&self, fault: Fault) {
        *lock(&self.hooks.commits) = vec![("", fault)];
    }

    /// Sets the fault of commits of this name. Other commits keep theirs.
    pub fn on(&self, commit: &'static str, fault: Fault) {
        lock(&self.hooks.commits).insert(0, (commit, fault));
    }
}

#[async_trait]
impl Hooks for Faults {
    async fn before_load(&self) -> Result<(), StoreError> {
        let fault = *lock(&self.loads);
        fault.meet().await
    }

    async fn before_commit(
        &self,
        _: &MemoryStore,
        commit: &Commit,
    ) -> Result<Option<Outcome>, StoreError> {
        let faults = lock(&self.commits).clone();
        let found = faults.iter().find(|(name, _)| name.is_empty() || *name == commit.name());
        found.map_or(Fault::None, |(_, fault)| *fault).meet().await?;
        Ok(None)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
