//! The contract of server-side drivers.
//!
//! A [`Store`] keeps records under keys. It sees bytes, never a token and never a value, and it
//! decides nothing: what to write, when, and what a lost race means is the library's business. All
//! that a store owes is that each commit is **one atomic step** and that **nothing is overwritten
//! blindly**. There is no upsert, on purpose: it is how logged-out sessions come back to life.
//!
//! # Writing one
//! 1. Keep, for each [`RecordKey`], either a record (bytes, [`Revision`], deadline) or a tombstone
//!    (successor, deadline). After its deadline either is as good as absent, whether or not it was deleted.
//! 2. Carry out each [`Commit`] as its documentation says, atomically even across processes.
//! 3. Report failures as [`StoreError`]; never report one as an absence.
//! 4. Run `cloakroom::conformance` on it (feature `conformance`), races included.
//!
//! That is all that is needed. Capabilities come on top where a store has them: [`Directory`] finds
//! the records of an owner, [`Enumerate`] goes through all of them, and [`Sweep`] deletes what has
//! expired.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;

use crate::{clock::Timestamp, owner::Owner, record::Record};
pub use crate::{lifetimes::TOMBSTONE, owner::OwnerKey, token::RecordKey};

/// Keeps records on the server.
///
/// ```
/// # tokio_test(async {
/// use std::time::Duration;
/// use cloakroom::{clock::{Clock, SystemClock}, store::*, MemoryStore};
///
/// let store = MemoryStore::new();
/// let key = RecordKey::from_bytes([7; 32]);
/// let record = Draft::new("values", SystemClock.now(), Duration::from_secs(60));
///
/// let outcome = store.commit(Commit::Create { key, record: record.clone() }).await?;
/// let Outcome::Done(revision) = outcome else { panic!("the key was free") };
///
/// // Naming the revision that was read is what makes a write safe.
/// store.commit(Commit::Replace { key, expected: revision, record: record.clone() }).await?;
/// let late = store.commit(Commit::Replace { key, expected: revision, record }).await?;
/// assert!(matches!(late, Outcome::Conflict(_)));
/// # Ok::<(), StoreError>(()) });
/// # fn tokio_test(f: impl Future<Output = Result<(), cloakroom::store::StoreError>>) {
/// #     tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(f).unwrap();
/// # }
/// ```
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// A word for this kind of store, for logs and dashboards.
    fn name(&self) -> &'static str {
        "store"
    }

    /// What is kept under `key`; nothing where there is neither record nor tombstone, or its
    /// deadline has passed.
    ///
    /// # Errors
    /// When the store cannot tell. An unreadable record is an absence with a warning in the log,
    /// because a session that answers with an error for ever helps nobody.
    async fn load(&self, key: &RecordKey) -> Result<Option<Found>, StoreError>;

    /// This store as one that finds records by their owner, if it is.
    fn directory(&self) -> Option<&dyn Directory> {
        None
    }

    /// This store as one that can go through everything it keeps, if it can.
    fn enumerate(&self) -> Option<&dyn Enumerate> {
        None
    }

    /// Carries out `commit` in one atomic step, or not at all.
    ///
    /// # Errors
    /// When the step failed or may have failed. The library does not retry it.
    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError>;
}

/// What a store found under a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A record whose deadline has not passed.
    Live(Stored),
    /// The key of a session that was destroyed a moment ago, or regenerated: then `successor` is the
    /// key that its record moved to, so that a logout with the old token ends the session all the same.
    Tombstone {
        /// The key that a `Rotate` moved the record to. `None` if the session has ended: after a
        /// `Destroy`, and after a `Rotate` that names no revision.
        successor: Option<RecordKey>,
        /// When the tombstone stops being found: the deadline that the step gave it.
        expires: Timestamp,
    },
}

impl Found {
    /// Returns the deadline after which it is no longer found.
    pub fn expires(&self) -> Timestamp {
        match self {
            Self::Live(stored) => stored.expires,
            Self::Tombstone { expires, .. } => *expires,
        }
    }
}

/// A record as a store holds it.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored {
    /// The record's bytes, as they were given.
    pub record: Bytes,
    /// Which write of this record it is.
    pub revision: Revision,
    /// When the record stops being live.
    pub expires: Timestamp,
}

/// Shows sizes, not contents.
impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { record, revision, expires } = self;
        write!(f, "Stored({} bytes, {revision:?}, until {expires:?})", record.len())
    }
}

/// Changes with every write of a record: what compare-and-swap compares.
///
/// A store numbers as it likes, so long as two writes under one key never share a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Revision(pub u64);

/// A record to be written.
#[derive(Clone, PartialEq, Eq)]
pub struct Draft {
    /// The record's bytes.
    pub record: Bytes,
    /// When it stops being live.
    pub expires: Timestamp,
    /// The idle timeout: how long the record lives on when it is used. A store may keep an
    /// owner's index entry for this much longer than the record.
    pub idle: Duration,
    /// Whose it is: what a [`Directory`] finds it by.
    pub owner: Option<OwnerKey>,
}

impl Draft {
    /// A record that is used `now`, lives on for `idle` and is nobody's.
    pub fn new(record: impl Into<Bytes>, now: Timestamp, idle: Duration) -> Self {
        Self { record: record.into(), expires: now + idle, idle, owner: None }
    }

    /// What writes a record that was read into another store, with the deadline that it has. `idle`
    /// is the idle timeout of sessions that have none of their own. Nothing where the record cannot
    /// be read.
    pub fn copy_of(stored: &Stored, idle: Duration) -> Option<Self> {
        let record = Record::decode(&stored.record)?;
        Some(Self {
            record: stored.record.clone(),
            expires: stored.expires,
            idle: record.age.map_or(idle, Duration::from_millis),
            owner: record.owner.as_ref().map(Owner::key),
        })
    }
}

/// Shows sizes, not contents.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft({} bytes, until {:?})", self.record.len(), self.expires)
    }
}

/// One atomic step of a store.
///
/// Where a step finds a tombstone or nothing under the key that it changes, it answers
/// [`Outcome::Gone`] and does nothing. Where it names a revision and the record has another, it
/// answers [`Outcome::Conflict`] with the record as it is and does nothing.
#[derive(Clone, Debug)]
pub enum Commit {
    /// Writes the first record under a new key. Answers [`Outcome::Exists`] where a live record or
    /// a tombstone is there.
    Create {
        /// The new key.
        key: RecordKey,
        /// The record.
        record: Draft,
    },
    /// Replaces a record and its deadline.
    Replace {
        /// Whose record.
        key: RecordKey,
        /// The revision that the request read.
        expected: Revision,
        /// The new record.
        record: Draft,
    },
    /// Moves a record's deadline and leaves the record and its revision as they are.
    Touch {
        /// Whose deadline.
        key: RecordKey,
        /// The revision that the request read.
        expected: Revision,
        /// The new deadline.
        expires: Timestamp,
    },
    /// Writes the record under a new key, which has the [tag](RecordKey::tag) of the old one, and
    /// leaves a tombstone under the old one: there is no moment in which both or neither is live.
    /// Answers [`Outcome::Exists`] where something is under the new key.
    ///
    /// With a revision the session goes on under the new key, and the tombstone names it as its
    /// successor. Without one the session ends and another begins, so the tombstone has no successor:
    /// whoever ends the old session once more must not end the new one.
    Rotate {
        /// The old key.
        from: RecordKey,
        /// The revision that the request read. `None` if the session ends, whatever its revision.
        expected: Option<Revision>,
        /// The new key.
        to: RecordKey,
        /// The record under the new key.
        record: Draft,
        /// When the tombstone may go.
        tombstone: Timestamp,
    },
    /// Replaces a record, whatever its revision, by a tombstone without successor.
    Destroy {
        /// Whose record.
        key: RecordKey,
        /// When the tombstone may go.
        tombstone: Timestamp,
    },
}

/// What came of a [`Commit`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done; the revision that the record has now (for a `Destroy`: had).
    Done(Revision),
    /// Another request wrote first; this is the record as it is.
    Conflict(Stored),
    /// The session was destroyed, regenerated or has expired.
    Gone,
    /// The new key is taken.
    Exists,
}

/// Finds the records of an owner.
///
/// The rule: **a live record is never missed.** Where record and index cannot be written in one
/// step, the index is written first. It may name too much, for the library looks at each record; but
/// what no longer leads to a live record has to go from it some time after. Where a key was
/// rotated, it either stays in the index as long as its tombstone, or gives way to the new one in
/// one step with the records. A store that does the latter puts keys with one [tag](RecordKey::tag)
/// on one page, because a rotation between two pages must not hide the record from both.
#[async_trait]
pub trait Directory: Store {
    /// Returns some keys of the records whose [owner](Draft::owner) is `owner`, from the place `from`
    /// on: about `limit` of them, in any order. A record that is live from the first page to the last
    /// is named at least once. Keys may come twice, and lead to tombstones, to nothing, or to the
    /// records of others. A store that leaves these out looks at about `limit` entries all the same,
    /// and says in [`KeyPage::seen`] how many it were.
    ///
    /// # Errors
    /// When the store cannot tell.
    async fn keys_of(
        &self,
        owner: &OwnerKey,
        from: Place,
        limit: usize,
    ) -> Result<KeyPage, StoreError>;

    /// Returns the keys of `owner` that have this [tag](RecordKey::tag). The library finds a single
    /// session by it, whose keys share one tag. The rule of [`keys_of`](Self::keys_of) holds.
    ///
    /// Unless implemented, it goes through all keys of the owner. Implement it where the index can
    /// find keys by how they begin.
    ///
    /// # Errors
    /// When the store cannot tell.
    async fn keys_with_tag(
        &self,
        owner: &OwnerKey,
        tag: [u8; RecordKey::TAG_BYTES],
    ) -> Result<Vec<RecordKey>, StoreError> {
        let mut keys = all_keys_of(self, owner).await?;
        keys.retain(|key| key.tag() == tag);
        Ok(keys)
    }
}

/// How many keys of an owner are asked for where no records are loaded.
pub(crate) const NAMES: usize = 1024;

/// Returns all keys that the index has for an owner.
pub(crate) async fn all_keys_of<D: Directory + ?Sized>(
    index: &D,
    owner: &OwnerKey,
) -> Result<Vec<RecordKey>, StoreError> {
    let (mut keys, mut next) = (Vec::new(), Some(Place::default()));
    while let Some(from) = next {
        let page = index.keys_of(owner, from, NAMES).await?;
        keys.extend(page.keys);
        next = page.next;
    }
    Ok(keys)
}

/// Goes through everything that a store keeps, for tools that list sessions or move them.
#[async_trait]
pub trait Enumerate: Store {
    /// Some keys from the place `from` on. What is there from the first page to the last is named at
    /// least once; keys may come twice, and lead to tombstones or nothing.
    ///
    /// # Errors
    /// When the store fails.
    async fn keys_from(&self, from: Place) -> Result<KeyPage, StoreError>;
}

/// How far an [`Enumerate`] or a [`Directory`] has come. Begins at its default; what the members mean
/// is the store's business. Write `Place { part: 1, ..Place::default() }`, for there may be more of
/// them one day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Which part of the store: a shard, a node.
    pub part: u64,
    /// Where in the part.
    pub offset: u64,
    /// The last key that was named, for a store that has its keys in order.
    pub after: Option<RecordKey>,
}

/// Some of a store's keys.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KeyPage {
    /// The keys, in any order; there may be none although more follow.
    pub keys: Vec<RecordKey>,
    /// Where to go on; nothing at the end.
    pub next: Option<Place>,
    /// How many entries the store looked at for this page, with those that it left out.
    pub seen: usize,
}

impl KeyPage {
    /// Makes a page for which the store looked at these keys and at nothing else.
    ///
    /// ```
    /// use cloakroom::store::{KeyPage, RecordKey};
    ///
    /// let page = KeyPage::new(vec![RecordKey::from_bytes([7; 32])], None);
    /// assert_eq!(page.seen, 1);
    /// ```
    pub fn new(keys: Vec<RecordKey>, next: Option<Place>) -> Self {
        Self { seen: keys.len(), keys, next }
    }

    /// Says how many entries the store looked at. Call it if the store leaves out entries that lead
    /// to nothing: the library bounds its work for one call by this number.
    ///
    /// ```
    /// use cloakroom::store::{KeyPage, RecordKey};
    ///
    /// // 128 entries, of which all but one have expired.
    /// let page = KeyPage::new(vec![RecordKey::from_bytes([7; 32])], None).with_seen(128);
    /// assert_eq!((page.keys.len(), page.seen), (1, 128));
    /// ```
    #[must_use]
    pub fn with_seen(self, seen: usize) -> Self {
        Self { seen, ..self }
    }
}

/// Deletes what has expired, for stores that do not forget by themselves.
#[async_trait]
pub trait Sweep: Store {
    /// Looks at up to `limit` entries and deletes those whose deadline has passed. Call it again
    /// until [`Swept::finished`].
    ///
    /// # Errors
    /// When the store fails; what was deleted until then stays deleted.
    async fn sweep(&self, limit: usize) -> Result<Swept, StoreError>;
}

/// What one batch of a [`Sweep`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// How many entries were looked at, which may be a few more than the limit. A sweep in the
    /// background speeds up while more than half of them have expired.
    pub seen: usize,
    /// How many of these were deleted.
    pub removed: usize,
    /// Whether this batch ended a round over the whole store.
    pub finished: bool,
    /// Whether nothing was done because another process is sweeping the store.
    pub busy: bool,
}

macro_rules! store_by_pointer {
    ($($pointer:ident),*) => {$(
        #[async_trait]
        impl<S: Store + ?Sized> Store for $pointer<S> {
            fn name(&self) -> &'static str {
                (**self).name()
            }

            async fn load(&self, key: &RecordKey) -> Result<Option<Found>, StoreError> {
                (**self).load(key).await
            }

            fn directory(&self) -> Option<&dyn Directory> {
                (**self).directory()
            }

            fn enumerate(&self) -> Option<&dyn Enumerate> {
                (**self).enumerate()
            }

            async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
                (**self).commit(commit).await
            }
        }
    )*};
}

store_by_pointer!(Arc, Box);

/// Why a store could not do what it was asked.
///
/// ```
/// use cloakroom::store::StoreError;
///
/// let error = StoreError::unavailable("connect to 10.0.0.7:6379", "timed out after 1 s");
/// assert!(error.is_unavailable());
/// assert_eq!(error.to_string(), "could not connect to 10.0.0.7:6379");
/// ```
#[derive(Debug)]
pub struct StoreError {
    attempted: String,
    unavailable: bool,
    cause: Box<dyn StdError + Send + Sync>,
}

impl StoreError {
    /// The store could not be reached or did not answer in time. `attempted` completes the
    /// sentence "could not …".
    pub fn unavailable(
        attempted: impl Into<String>,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { attempted: attempted.into(), unavailable: true, cause: cause.into() }
    }

    /// The store refused or failed. `attempted` completes the sentence "could not …".
    pub fn failed(
        attempted: impl Into<String>,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { attempted: attempted.into(), unavailable: false, cause: cause.into() }
    }

    /// Whether trying again later makes sense.
    pub fn is_unavailable(&self) -> bool {
        self.unavailable
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}", self.attempted)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}
