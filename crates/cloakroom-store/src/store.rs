//! The trait that a store implements.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{
    Commit, Cursor, EndingFeed, KeyPage, KeyWatch, Outcome, OwnerIndex, OwnerKey, RecordKey, Scan,
    StoreError, Sweep, SweepProgress, clock::Timestamp,
};

/// Keeps records on the server.
///
/// ```
/// use std::time::Duration;
/// use cloakroom_store::{Commit, Draft, MemoryStore, Outcome, RecordKey, Store, clock::{Clock, SystemClock}};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = MemoryStore::new();
/// let key = RecordKey::from_bytes([7; 32]);
/// let draft = Draft::new("values", SystemClock.now(), Duration::from_secs(60));
///
/// let outcome = store.commit(Commit::create(key, draft.clone())).await?;
/// let Outcome::Done(revision) = outcome else { panic!("the key was free") };
///
/// // A write is safe because it names the revision that was read.
/// store.commit(Commit::replace(key, revision, draft.clone())).await?;
/// let late = store.commit(Commit::replace(key, revision, draft)).await?;
/// assert!(matches!(late, Outcome::Conflict(_)));
/// # Ok::<(), cloakroom_store::StoreError>(()) }).unwrap();
/// ```
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Returns a word for this kind of store, for logs and metrics.
    fn name(&self) -> &'static str {
        "store"
    }

    /// Returns the entry under `key`. Returns `None` if there is none or its deadline has passed.
    ///
    /// # Errors
    /// When the store fails. An unreadable record is an absence with a warning in the log, because
    /// an error would lock its visitor out for as long as the record exists.
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError>;

    /// Carries out `commit` in one atomic step, or not at all.
    ///
    /// The caller may drop the future at any `await`, because a request waits for a store only until its
    /// deadline. The step is then carried out as a whole, at once or later, or not at all. So a store
    /// that needs several steps, as for a `Rotate`, makes them in a transaction or in a separate
    /// task.
    ///
    /// # Errors
    /// When the step failed, or may have failed. The caller does not send it again, because it may have
    /// been carried out.
    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError>;

    /// Returns this store as an [`OwnerIndex`], if it is one.
    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        None
    }

    /// Returns this store as a [`Scan`], if it is one.
    fn as_scan(&self) -> Option<&dyn Scan> {
        None
    }

    /// Returns this store as a [`Sweep`], if it is one.
    fn as_sweep(&self) -> Option<&dyn Sweep> {
        None
    }

    /// Returns this store as an [`EndingFeed`], if it is one.
    fn as_ending_feed(&self) -> Option<&dyn EndingFeed> {
        None
    }
}

macro_rules! store_by_pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<S: Store + ?Sized> Store for $pointer<S> {
            fn name(&self) -> &'static str {
                (**self).name()
            }

            async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
                (**self).load(key).await
            }

            async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
                (**self).commit(commit).await
            }

            fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
                (**self).as_owner_index()
            }

            fn as_scan(&self) -> Option<&dyn Scan> {
                (**self).as_scan()
            }

            fn as_sweep(&self) -> Option<&dyn Sweep> {
                (**self).as_sweep()
            }

            fn as_ending_feed(&self) -> Option<&dyn EndingFeed> {
                (**self).as_ending_feed()
            }
        }
    )*};
}

store_by_pointer!(Arc, Box);

macro_rules! capabilities_by_pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<S: OwnerIndex + ?Sized> OwnerIndex for $pointer<S> {
            async fn keys_of(
                &self,
                owner: &OwnerKey,
                from: Cursor,
                limit: usize,
            ) -> Result<KeyPage, StoreError> {
                (**self).keys_of(owner, from, limit).await
            }

            async fn keys_with_tag(
                &self,
                owner: &OwnerKey,
                tag: [u8; RecordKey::TAG_BYTES],
            ) -> Result<Vec<RecordKey>, StoreError> {
                (**self).keys_with_tag(owner, tag).await
            }
        }

        #[async_trait]
        impl<S: Scan + ?Sized> Scan for $pointer<S> {
            async fn scan(&self, from: Cursor) -> Result<KeyPage, StoreError> {
                (**self).scan(from).await
            }
        }

        #[async_trait]
        impl<S: Sweep + ?Sized> Sweep for $pointer<S> {
            async fn sweep(&self, limit: usize) -> Result<SweepProgress, StoreError> {
                (**self).sweep(limit).await
            }
        }

        impl<S: EndingFeed + ?Sized> EndingFeed for $pointer<S> {
            fn watch(&self, key: &RecordKey) -> KeyWatch {
                (**self).watch(key)
            }
        }
    )*};
}

capabilities_by_pointer!(Arc, Box);

/// The entry under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A record whose deadline has not passed.
    Live(StoredRecord),
    /// The mark of a session that was destroyed or regenerated a short time ago.
    #[non_exhaustive]
    Tombstone {
        /// The key to which a `Rotate` moved the record. A logout with the old token ends the
        /// session by it. `None` if the session has ended: after a `Destroy`, and after a `Rotate`
        /// that names no revision.
        successor: Option<RecordKey>,
        /// When the tombstone expires, as the step said.
        expires: Timestamp,
    },
}

impl Entry {
    /// Makes a [`Tombstone`](Self::Tombstone).
    ///
    /// ```
    /// use cloakroom_store::{Entry, clock::Timestamp};
    ///
    /// let expires = Timestamp::from_millis(30_000);
    /// assert_eq!(Entry::tombstone(None, expires).expires(), expires);
    /// ```
    pub const fn tombstone(successor: Option<RecordKey>, expires: Timestamp) -> Self {
        Self::Tombstone { successor, expires }
    }

    /// Returns the deadline after which the entry is absent.
    pub fn expires(&self) -> Timestamp {
        match self {
            Self::Live(stored) => stored.expires,
            Self::Tombstone { expires, .. } => *expires,
        }
    }
}

/// A record in a store.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredRecord {
    /// The bytes of the record, as they were written.
    pub bytes: Bytes,
    /// The revision of the record.
    pub revision: Revision,
    /// When the record expires.
    pub expires: Timestamp,
}

impl StoredRecord {
    /// Makes a record as a store returns it.
    ///
    /// ```
    /// use cloakroom_store::{Entry, Revision, StoredRecord, clock::Timestamp};
    ///
    /// let stored = StoredRecord::new("values", Revision(1), Timestamp::from_millis(60_000));
    /// assert_eq!(Entry::Live(stored.clone()).expires(), stored.expires);
    /// ```
    pub fn new(bytes: impl Into<Bytes>, revision: Revision, expires: Timestamp) -> Self {
        Self { bytes: bytes.into(), revision, expires }
    }
}

/// Shows the size, not the contents.
impl fmt::Debug for StoredRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bytes, revision, expires } = self;
        write!(f, "StoredRecord({} bytes, {revision:?}, until {expires:?})", bytes.len())
    }
}

/// The version of a record, which compare-and-swap compares. It changes with every write.
///
/// A store may number as it likes, as long as two writes under one key never share a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);
