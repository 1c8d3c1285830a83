//! The trait over single cells that a small store implements.

use std::fmt;

use async_trait::async_trait;
use bytes::Bytes;

use crate::{RecordKey, StoreError, clock::Timestamp};

/// Keeps bytes in cells, one under each key, and changes one cell at a time.
///
/// Implement it for a database that can write one key under a condition, and no two keys in one step.
/// [`CellStore`](super::CellStore) makes a [`Store`](crate::Store) of it. Implement `Store` itself for a
/// database that has transactions, because that saves round trips and can offer an owner index.
///
/// The [module page](super) has an example.
#[async_trait]
pub trait Cells: fmt::Debug + Send + Sync + 'static {
    /// The version of a cell, as the database has it. It changes whenever the bytes of the cell change,
    /// so it may be a number, a time or a hash of the bytes.
    type Version: fmt::Debug + Send + Sync + 'static;

    /// Returns a word for this kind of store, for logs and metrics.
    fn name(&self) -> &'static str {
        "cells"
    }

    /// Returns the cell under `key`. The read sees all swaps that were carried out before it began, so
    /// it does not go to a cache or to a replica that may be behind. A cell whose deadline has passed
    /// may still be returned.
    ///
    /// # Errors
    /// When the database fails.
    async fn read(&self, key: &RecordKey) -> Result<Option<Cell<Self::Version>>, StoreError>;

    /// Changes the cell under `key` in one atomic step, if it is as `swap` expects. Otherwise changes
    /// nothing and returns [`Swapped::Differs`].
    ///
    /// Send the request once, and turn off a client's automatic retries. A request that is repeated
    /// after a lost reply finds its own write and returns `Differs` for a swap that was carried out.
    ///
    /// # Errors
    /// When the swap failed, or may have failed: it was carried out, will be, or will not.
    async fn swap(&self, key: &RecordKey, swap: Swap<Self::Version>)
    -> Result<Swapped, StoreError>;
}

/// The cell under a key.
#[non_exhaustive]
pub struct Cell<V> {
    /// The bytes, as they were written.
    pub bytes: Bytes,
    /// The version of the cell.
    pub version: V,
}

impl<V> Cell<V> {
    /// Makes a cell as a database returns it.
    ///
    /// ```
    /// use cloakroom_store::cells::Cell;
    ///
    /// let cell = Cell::new("bytes", 7);
    /// assert_eq!((&*cell.bytes, cell.version), (&b"bytes"[..], 7));
    /// ```
    pub fn new(bytes: impl Into<Bytes>, version: V) -> Self {
        Self { bytes: bytes.into(), version }
    }
}

/// Shows the size, not the contents.
impl<V: fmt::Debug> fmt::Debug for Cell<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cell({} bytes, {:?})", self.bytes.len(), self.version)
    }
}

/// A change of one cell, with the state of the cell that it expects.
///
/// A database may delete a cell once its deadline has passed, and not before. It may also keep the
/// cell, because [`CellStore`](super::CellStore) keeps another deadline in the bytes.
///
/// Later versions may add fields, so patterns end with `..`. The set of swaps is complete.
pub enum Swap<V> {
    /// Writes a cell under a key that has none.
    #[non_exhaustive]
    Insert {
        /// The bytes to write.
        bytes: Bytes,
        /// When the database may delete the cell.
        deadline: Timestamp,
    },
    /// Replaces a cell and its deadline, if the cell has this version.
    #[non_exhaustive]
    Replace {
        /// The version that was read.
        version: V,
        /// The bytes to write.
        bytes: Bytes,
        /// When the database may delete the cell.
        deadline: Timestamp,
    },
    /// Deletes a cell, if it has this version. If the database cannot do that, write empty bytes with
    /// a deadline that has passed.
    #[non_exhaustive]
    Delete {
        /// The version that was read.
        version: V,
    },
}

impl<V> Swap<V> {
    /// Makes an [`Insert`](Self::Insert).
    ///
    /// ```
    /// use cloakroom_store::{cells::Swap, clock::Timestamp};
    ///
    /// let swap = Swap::<u64>::insert("secret", Timestamp::from_millis(60_000));
    /// assert_eq!(format!("{swap:?}"), "Insert(6 bytes, until 60000 ms)");
    /// ```
    pub fn insert(bytes: impl Into<Bytes>, deadline: Timestamp) -> Self {
        Self::Insert { bytes: bytes.into(), deadline }
    }

    /// Makes a [`Replace`](Self::Replace).
    ///
    /// ```
    /// use cloakroom_store::{cells::Swap, clock::Timestamp};
    ///
    /// let swap = Swap::replace(7, "secret", Timestamp::from_millis(60_000));
    /// assert_eq!(format!("{swap:?}"), "Replace(7, 6 bytes, until 60000 ms)");
    /// ```
    pub fn replace(version: V, bytes: impl Into<Bytes>, deadline: Timestamp) -> Self {
        Self::Replace { version, bytes: bytes.into(), deadline }
    }

    /// Makes a [`Delete`](Self::Delete).
    ///
    /// ```
    /// use cloakroom_store::cells::Swap;
    ///
    /// assert_eq!(format!("{:?}", Swap::delete(7)), "Delete(7)");
    /// ```
    pub const fn delete(version: V) -> Self {
        Self::Delete { version }
    }
}

/// Shows the size, not the contents.
impl<V: fmt::Debug> fmt::Debug for Swap<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insert { bytes, deadline } => {
                write!(f, "Insert({} bytes, until {deadline:?})", bytes.len())
            }
            Self::Replace { version, bytes, deadline } => {
                write!(f, "Replace({version:?}, {} bytes, until {deadline:?})", bytes.len())
            }
            Self::Delete { version } => write!(f, "Delete({version:?})"),
        }
    }
}

/// The result of a [`Swap`].
///
/// The set is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The swap was carried out.
    Done,
    /// The cell was not as expected. The swap has changed nothing, and will not.
    Differs,
}
