//! The steps of a store on single cells.

use std::sync::Arc;

use async_trait::async_trait;

use super::{
    contract::{Cell, Cells, Swap, Swapped},
    format::{Content, Kind},
};
use crate::{
    Commit, Draft, Entry, Outcome, RecordKey, Revision, Store, StoreError, StoredRecord,
    clock::{Clock, SystemClock, Timestamp},
};

/// How often a step is tried again because another client has changed the cell. Each time, another
/// client's step has succeeded, so only a store that breaks its contract comes near this number.
const ATTEMPTS: usize = 1_000;

/// A [`Store`] on [`Cells`].
///
/// It offers no [`OwnerIndex`](crate::OwnerIndex), no [`Scan`](crate::Scan) and no
/// [`Sweep`](crate::Sweep). The [module page](super) says why, and has an example.
#[derive(Debug)]
pub struct CellStore<C> {
    pub(super) cells: C,
    clock: Arc<dyn Clock>,
}

impl<C: Cells> CellStore<C> {
    /// Makes a store on `cells` that reads the time from the operating system.
    ///
    /// The [module page](super) has an example.
    pub fn new(cells: C) -> Self {
        Self::with_clock(cells, Arc::new(SystemClock))
    }

    /// Makes a store on `cells` that reads the time from `clock`. Tests pass a
    /// [`FakeClock`](crate::clock::FakeClock).
    ///
    /// The [module page](super) has an example.
    pub fn with_clock(cells: C, clock: Arc<dyn Clock>) -> Self {
        Self { cells, clock }
    }
}

#[async_trait]
impl<C: Cells> Store for CellStore<C> {
    fn name(&self) -> &'static str {
        self.cells.name()
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        let found = self.find(key).await?;
        Ok(found.and_then(|found| found.content.entry(self.clock.now())))
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        match commit {
            Commit::Create { key, draft } => self.create(&key, draft, None).await,
            Commit::Replace { key, expected, draft } => {
                self.change(&key, Some(expected), Change::Record(draft)).await
            }
            Commit::Touch { key, expected, expires } => {
                self.change(&key, Some(expected), Change::Deadline(expires)).await
            }
            Commit::Destroy { key, tombstone } => {
                self.change(&key, None, Change::destroy(tombstone)).await
            }
            Commit::Rotate { from, expected, to, draft, tombstone } => {
                self.rotate(&from, expected, &to, draft, tombstone).await
            }
        }
    }
}

/// The state of a cell.
pub(super) enum Slot<V> {
    Empty,
    /// Bytes of a later version, of another program, or damaged. They stay, and no record can have the
    /// key.
    Unreadable,
    Whole(Found<V>),
}

/// The contents of a cell, and its version.
pub(super) struct Found<V> {
    pub(super) content: Content,
    pub(super) version: V,
}

/// The result of looking up the record that a step changes.
pub(super) enum Checked<V> {
    /// A live record of the expected revision.
    Live(StoredRecord, V),
    /// The outcome of a step that changes nothing.
    Refused(Outcome),
}

/// A change of a live record.
pub(super) enum Change {
    Record(Draft),
    Deadline(Timestamp),
    Tombstone {
        kind: Kind,
        expires: Timestamp,
        /// When the database may delete the cell.
        deadline: Timestamp,
    },
}

impl Change {
    fn destroy(expires: Timestamp) -> Self {
        let kind = Kind::Tombstone { successor: None };
        Self::Tombstone { kind, expires, deadline: expires }
    }

    /// Returns the new contents of the cell, and when the database may delete it. A record no longer
    /// depends on a tombstone, because the cell was live when it was read.
    fn apply(&self, before: StoredRecord, now: Timestamp) -> (Content, Timestamp) {
        let StoredRecord { bytes, revision, .. } = before;
        match self {
            Self::Record(draft) => {
                (Content::record(draft.clone(), next(revision, now), None), draft.expires)
            }
            Self::Deadline(expires) => {
                let kind = Kind::Record { bytes, rotated_from: None };
                (Content { kind, expires: *expires, revision }, *expires)
            }
            Self::Tombstone { kind, expires, deadline } => {
                (Content { kind: kind.clone(), expires: *expires, revision }, *deadline)
            }
        }
    }
}

/// Returns a revision that no earlier record under the key had, even if the database has lost that
/// record.
fn next(before: Revision, now: Timestamp) -> Revision {
    Revision(before.0.max(now.as_millis()).saturating_add(1))
}

impl<C: Cells> CellStore<C> {
    pub(super) async fn read(&self, key: &RecordKey) -> Result<Slot<C::Version>, StoreError> {
        let Some(Cell { bytes, version }) = self.cells.read(key).await? else {
            return Ok(Slot::Empty);
        };
        let Some(content) = Content::decode(key, &bytes) else {
            tracing::warn!(?key, store = self.name(), "ignoring an unreadable session record");
            return Ok(Slot::Unreadable);
        };
        Ok(Slot::Whole(Found { content, version }))
    }

    /// Writes `content` into a cell of this version. `deadline` is when the database may delete it.
    pub(super) async fn replace(
        &self,
        key: &RecordKey,
        version: C::Version,
        content: &Content,
        deadline: Timestamp,
    ) -> Result<Swapped, StoreError> {
        self.cells.swap(key, Swap::replace(version, content.encode(key), deadline)).await
    }

    /// Returns the cell under `key`, whether its deadline has passed or not. A record whose rotation
    /// has not been completed counts as an absence.
    async fn find(&self, key: &RecordKey) -> Result<Option<Found<C::Version>>, StoreError> {
        let mut before = None;
        loop {
            let Slot::Whole(found) = self.read(key).await? else { return Ok(None) };
            let Some(from) = found.content.kind.rotated_from() else { return Ok(Some(found)) };
            if before.as_ref() == Some(&found.content) {
                return Ok(None);
            }
            if self.was_rotated(&from, key).await? {
                return Ok(Some(found));
            }
            // The tombstone may be gone because the record no longer needs it. If the record is still
            // the same, it needed the tombstone when that was read.
            before = Some(found.content);
        }
    }

    /// Returns `true` if the tombstone under `from` makes the record under `to` live.
    async fn was_rotated(&self, from: &RecordKey, to: &RecordKey) -> Result<bool, StoreError> {
        let slot = self.read(from).await?;
        Ok(matches!(slot, Slot::Whole(found) if found.content.kind.made_live() == Some(to)))
    }

    /// Finds a live record of the expected revision.
    pub(super) async fn check(
        &self,
        key: &RecordKey,
        expected: Option<Revision>,
    ) -> Result<Checked<C::Version>, StoreError> {
        let gone = Ok(Checked::Refused(Outcome::Gone));
        let Some(Found { content, version }) = self.find(key).await? else { return gone };
        let Some(Entry::Live(stored)) = content.entry(self.clock.now()) else { return gone };
        if expected.is_some_and(|expected| expected != stored.revision) {
            return Ok(Checked::Refused(Outcome::Conflict(stored)));
        }
        Ok(Checked::Live(stored, version))
    }

    async fn change(
        &self,
        key: &RecordKey,
        expected: Option<Revision>,
        change: Change,
    ) -> Result<Outcome, StoreError> {
        let checked = self.check(key, expected).await?;
        self.change_checked(key, expected, checked, change).await
    }

    /// Changes the record that [`check`](Self::check) found. Checks again if another client has changed
    /// the cell.
    pub(super) async fn change_checked(
        &self,
        key: &RecordKey,
        expected: Option<Revision>,
        mut checked: Checked<C::Version>,
        change: Change,
    ) -> Result<Outcome, StoreError> {
        for _ in 0..ATTEMPTS {
            let (stored, version) = match checked {
                Checked::Live(stored, version) => (stored, version),
                Checked::Refused(outcome) => return Ok(outcome),
            };
            let (content, deadline) = change.apply(stored, self.clock.now());
            match self.replace(key, version, &content, deadline).await? {
                Swapped::Done => return Ok(Outcome::Done(content.revision)),
                Swapped::Differs => checked = self.check(key, expected).await?,
            }
        }
        Err(contention())
    }

    /// Writes a record under a key that is free. Writes first and reads only if that fails, because a
    /// new key is drawn at random. A record of a rotation that was not completed keeps its key taken,
    /// because the rotation may still be completed.
    pub(super) async fn create(
        &self,
        key: &RecordKey,
        draft: Draft,
        rotated_from: Option<RecordKey>,
    ) -> Result<Outcome, StoreError> {
        let (now, deadline) = (self.clock.now(), draft.expires);
        let mut content = Content::record(draft, next(Revision(0), now), rotated_from);
        let mut swap = Swap::insert(content.encode(key), deadline);
        for _ in 0..ATTEMPTS {
            if self.cells.swap(key, swap).await? == Swapped::Done {
                return Ok(Outcome::Done(content.revision));
            }
            swap = match self.read(key).await? {
                Slot::Empty => Swap::insert(content.encode(key), deadline),
                Slot::Whole(Found { content: before, version }) if before.expires <= now => {
                    if let Some(to) = before.kind.made_live() {
                        self.detach(to, key).await?;
                    }
                    content.revision = next(before.revision, now);
                    Swap::replace(version, content.encode(key), deadline)
                }
                Slot::Whole(_) | Slot::Unreadable => return Ok(Outcome::Exists),
            };
        }
        Err(contention())
    }

    /// Makes the record under `to` independent of the tombstone under `from`, which makes it live.
    pub(super) async fn detach(&self, to: &RecordKey, from: &RecordKey) -> Result<(), StoreError> {
        for _ in 0..ATTEMPTS {
            let Slot::Whole(Found { mut content, version }) = self.read(to).await? else {
                return Ok(());
            };
            let expires = content.expires;
            match &mut content.kind {
                Kind::Record { rotated_from, .. } if *rotated_from == Some(*from) => {
                    *rotated_from = None;
                }
                _ => return Ok(()),
            }
            if self.replace(to, version, &content, expires).await? == Swapped::Done {
                return Ok(());
            }
        }
        Err(contention())
    }
}

fn contention() -> StoreError {
    let cause = format!("the cell has changed {ATTEMPTS} times in a row");
    StoreError::unavailable("change a session record", cause)
}
