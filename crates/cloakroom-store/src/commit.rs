//! The steps that change a store.

use std::{fmt, time::Duration};

use bytes::Bytes;

use crate::{OwnerKey, RecordKey, Revision, StoredRecord, clock::Timestamp};

/// How long a tombstone marks a request as a late one of the session that has ended. It is longer
/// than a request may wait for its commit. It is short, because a visitor whose browser did not
/// receive the new cookie cannot begin a session until it has passed.
pub const TOMBSTONE: Duration = Duration::from_secs(30);

/// One atomic step that changes a store.
///
/// If there is a tombstone or nothing under the key that a step changes, the store does nothing and
/// returns [`Outcome::Gone`]. If the step names a revision and the record has another one, the store
/// does nothing and returns [`Outcome::Conflict`] with the stored record.
///
/// Later versions may add fields, so patterns end with `..`. The set of steps is complete: a store that
/// cannot carry one out must not compile.
#[derive(Clone, Debug)]
pub enum Commit {
    /// Writes the first record under a new key. Returns [`Outcome::Exists`] if a live record or a
    /// tombstone is under that key.
    #[non_exhaustive]
    Create {
        /// The new key.
        key: RecordKey,
        /// The record.
        draft: Draft,
    },
    /// Replaces a record and its deadline.
    #[non_exhaustive]
    Replace {
        /// The key of the record.
        key: RecordKey,
        /// The revision that the request read.
        expected: Revision,
        /// The new record.
        draft: Draft,
    },
    /// Moves the deadline of a record. The record and its revision stay as they are.
    #[non_exhaustive]
    Touch {
        /// The key of the record.
        key: RecordKey,
        /// The revision that the request read.
        expected: Revision,
        /// The new deadline.
        expires: Timestamp,
    },
    /// Writes the record under a new key and a tombstone under the old key, in one step. At no moment
    /// are both keys live, or neither. The new key has the [tag](RecordKey::tag) of the old one. Returns
    /// [`Outcome::Exists`] if there is something under the new key.
    ///
    /// If a revision is named, the session continues under the new key, and the tombstone names it as
    /// its successor. Without a revision, the session ends and another one begins. The tombstone then
    /// has no successor, because a second request that ends the old session must not end the new one.
    #[non_exhaustive]
    Rotate {
        /// The old key.
        from: RecordKey,
        /// The revision that the request read. `None` if the session ends, whatever its revision.
        expected: Option<Revision>,
        /// The new key.
        to: RecordKey,
        /// The record under the new key.
        draft: Draft,
        /// When the tombstone expires.
        tombstone: Timestamp,
    },
    /// Replaces a record, whatever its revision, by a tombstone without a successor.
    #[non_exhaustive]
    Destroy {
        /// The key of the record.
        key: RecordKey,
        /// When the tombstone expires.
        tombstone: Timestamp,
    },
}

impl Commit {
    /// Makes a [`Create`](Self::Create).
    pub const fn create(key: RecordKey, draft: Draft) -> Self {
        Self::Create { key, draft }
    }

    /// Makes a [`Replace`](Self::Replace).
    pub const fn replace(key: RecordKey, expected: Revision, draft: Draft) -> Self {
        Self::Replace { key, expected, draft }
    }

    /// Makes a [`Touch`](Self::Touch).
    pub const fn touch(key: RecordKey, expected: Revision, expires: Timestamp) -> Self {
        Self::Touch { key, expected, expires }
    }

    /// Makes a [`Rotate`](Self::Rotate).
    pub const fn rotate(
        from: RecordKey,
        expected: Option<Revision>,
        to: RecordKey,
        draft: Draft,
        tombstone: Timestamp,
    ) -> Self {
        Self::Rotate { from, expected, to, draft, tombstone }
    }

    /// Makes a [`Destroy`](Self::Destroy).
    pub const fn destroy(key: RecordKey, tombstone: Timestamp) -> Self {
        Self::Destroy { key, tombstone }
    }

    /// Returns the key whose record the step changes: of a rotation, the old one.
    ///
    /// ```
    /// use cloakroom_store::{Commit, RecordKey, clock::Timestamp};
    ///
    /// let key = RecordKey::from_bytes([7; 32]);
    /// let commit = Commit::destroy(key, Timestamp::from_millis(0));
    /// assert_eq!((commit.key(), commit.name(), commit.draft()), (key, "destroy", None));
    /// ```
    pub const fn key(&self) -> RecordKey {
        match self {
            Self::Create { key, .. }
            | Self::Replace { key, .. }
            | Self::Touch { key, .. }
            | Self::Rotate { from: key, .. }
            | Self::Destroy { key, .. } => *key,
        }
    }

    /// Returns the record that the step writes, if it writes one.
    pub const fn draft(&self) -> Option<&Draft> {
        match self {
            Self::Create { draft, .. }
            | Self::Replace { draft, .. }
            | Self::Rotate { draft, .. } => Some(draft),
            Self::Touch { .. } | Self::Destroy { .. } => None,
        }
    }

    /// Returns the name of the step for logs and metrics: `create`, `replace`, `touch`, `rotate` or
    /// `destroy`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Replace { .. } => "replace",
            Self::Touch { .. } => "touch",
            Self::Rotate { .. } => "rotate",
            Self::Destroy { .. } => "destroy",
        }
    }

    /// Returns the key under which the session ends if this step is carried out: the one that a `Destroy`
    /// names, and the old one of a `Rotate`. Returns `None` for other steps.
    ///
    /// ```
    /// use cloakroom_store::{Commit, RecordKey, clock::Timestamp};
    ///
    /// let key = RecordKey::from_bytes([7; 32]);
    /// assert_eq!(Commit::destroy(key, Timestamp::from_millis(0)).ending(), Some(key));
    /// ```
    pub const fn ending(&self) -> Option<RecordKey> {
        match self {
            Self::Rotate { from: key, .. } | Self::Destroy { key, .. } => Some(*key),
            Self::Create { .. } | Self::Replace { .. } | Self::Touch { .. } => None,
        }
    }
}

/// A record to be written.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Draft {
    /// The bytes of the record.
    pub bytes: Bytes,
    /// When the record expires.
    pub expires: Timestamp,
    /// The idle timeout: how much longer the record lives each time that it is used. A store may keep
    /// an owner's index entry for this much longer than the record.
    pub idle: Duration,
    /// The owner by which an [`OwnerIndex`](crate::OwnerIndex) finds the record.
    pub owner: Option<OwnerKey>,
}

impl Draft {
    /// Makes a record without an owner that is used `now` and expires after `idle`.
    pub fn new(bytes: impl Into<Bytes>, now: Timestamp, idle: Duration) -> Self {
        Self { bytes: bytes.into(), expires: now + idle, idle, owner: None }
    }

    /// Sets the owner.
    ///
    /// ```
    /// use std::time::Duration;
    /// use cloakroom_store::{Draft, OwnerKey, clock::{Clock, SystemClock}};
    ///
    /// let owner = OwnerKey::of("user-42");
    /// let draft = Draft::new("values", SystemClock.now(), Duration::from_secs(60)).with_owner(owner);
    /// assert_eq!(draft.owner, Some(owner));
    /// ```
    #[must_use]
    pub fn with_owner(self, owner: impl Into<Option<OwnerKey>>) -> Self {
        Self { owner: owner.into(), ..self }
    }

    /// Sets another deadline.
    #[must_use]
    pub fn with_expires(self, expires: Timestamp) -> Self {
        Self { expires, ..self }
    }
}

/// Shows the size, not the contents.
impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Draft({} bytes, until {:?})", self.bytes.len(), self.expires)
    }
}

/// The result of a [`Commit`].
///
/// The set is complete: a session system has to understand every outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The step was carried out. Holds the revision of the record now, or of a destroyed record its
    /// last one.
    Done(Revision),
    /// Another request wrote first. Holds the stored record.
    Conflict(StoredRecord),
    /// The session was destroyed or regenerated, or has expired.
    Gone,
    /// The new key is taken.
    Exists,
}
