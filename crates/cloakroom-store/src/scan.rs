//! Going through all records of a store.

use async_trait::async_trait;

use crate::{RecordKey, Store, StoreError};

/// Goes through all records of a store, for tools that list or copy sessions.
#[async_trait]
pub trait Scan: Store {
    /// Returns some keys, starting at `from`. A record that is live from the first page to the last is
    /// returned at least once. Keys may be returned twice, and may lead to tombstones or to nothing.
    ///
    /// # Errors
    /// When the store fails.
    async fn scan(&self, from: Cursor) -> Result<KeyPage, StoreError>;
}

/// Where the next page of a [`Scan`] or an [`OwnerIndex`](crate::OwnerIndex) starts.
///
/// The default is the start. Only the store gives the parts a meaning, and a caller of pages
/// passes them back unchanged.
///
/// ```
/// use cloakroom_store::{Cursor, RecordKey};
///
/// let key = RecordKey::from_bytes([7; 32]);
/// let cursor = Cursor::new(3, 128).with_last_key(key);
/// assert_eq!((cursor.part(), cursor.offset(), cursor.last_key()), (3, 128, Some(key)));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    part: u64,
    offset: u64,
    last_key: Option<RecordKey>,
}

impl Cursor {
    /// Makes a cursor at an offset in a part of the store, such as a shard or a node.
    #[must_use]
    pub const fn new(part: u64, offset: u64) -> Self {
        Self { part, offset, last_key: None }
    }

    /// Sets the last key of the page before, for a store that keeps its keys in order.
    #[must_use]
    pub const fn with_last_key(self, key: RecordKey) -> Self {
        Self { last_key: Some(key), ..self }
    }

    /// Returns the part of the store.
    pub const fn part(&self) -> u64 {
        self.part
    }

    /// Returns the offset in the part.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the last key of the page before, if the store keeps its keys in order.
    pub const fn last_key(&self) -> Option<RecordKey> {
        self.last_key
    }
}

/// Some keys of a store.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct KeyPage {
    /// The keys, in any order. The page may be empty although more pages follow.
    pub keys: Vec<RecordKey>,
    /// Where the next page starts. `None` if this is the last page.
    pub next: Option<Cursor>,
    /// How many entries the store examined for this page, including those that it left out.
    pub seen: usize,
}

impl KeyPage {
    /// Makes a page for which the store examined these keys and nothing else.
    ///
    /// ```
    /// use cloakroom_store::{KeyPage, RecordKey};
    ///
    /// let page = KeyPage::new(vec![RecordKey::from_bytes([7; 32])], None);
    /// assert_eq!(page.seen, 1);
    /// ```
    pub fn new(keys: Vec<RecordKey>, next: Option<Cursor>) -> Self {
        Self { seen: keys.len(), keys, next }
    }

    /// Sets how many entries the store examined. Call it if the store leaves out entries that lead
    /// to nothing, because the caller limits the work of one request by this number.
    ///
    /// ```
    /// use cloakroom_store::{KeyPage, RecordKey};
    ///
    /// // 128 entries were examined, and all but one have expired.
    /// let page = KeyPage::new(vec![RecordKey::from_bytes([7; 32])], None).with_seen(128);
    /// assert_eq!((page.keys.len(), page.seen), (1, 128));
    /// ```
    #[must_use]
    pub fn with_seen(self, seen: usize) -> Self {
        Self { seen, ..self }
    }
}
