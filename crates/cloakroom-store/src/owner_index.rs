//! Finding the records of an owner.

use async_trait::async_trait;

use crate::{Cursor, KeyPage, OwnerKey, RecordKey, Store, StoreError};

/// How many keys [`all_keys_of`] asks for at a time.
const PAGE: usize = 1024;

/// Finds the records of an owner.
///
/// The rule is that **a live record is never missed**. If a store cannot write record and index in one
/// step, it writes the index first. The index may name too much, because the caller checks each record.
/// Entries that no longer lead to a live record have to be deleted at some later time.
///
/// When a key is rotated, its index entry either stays as long as the tombstone, or is replaced by
/// the new key in the same step as the records. A store that replaces it returns keys with one
/// [tag](RecordKey::tag) on one page, because a rotation between two pages must not hide the record
/// from both.
#[async_trait]
pub trait OwnerIndex: Store {
    /// Returns about `limit` keys of the records whose [owner](crate::Draft::owner) is `owner`, in any
    /// order, starting at `from`. A record that is live from the first page to the last is returned
    /// at least once. Keys may be returned twice, and may lead to tombstones, to nothing, or to other
    /// owners' records. A store that leaves such keys out still examines about `limit` entries, and
    /// reports the number in [`KeyPage::seen`].
    ///
    /// # Errors
    /// When the store fails.
    async fn keys_of(
        &self,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError>;

    /// Returns the keys of `owner` that have this [tag](RecordKey::tag). All keys of one session
    /// share a tag, so this finds a single session. The rule of [`keys_of`](Self::keys_of) holds.
    ///
    /// The default goes through all keys of the owner. Implement it if the index can find keys by
    /// their first bytes.
    ///
    /// # Errors
    /// When the store fails.
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

/// Returns all keys that an index has for an owner, page by page.
///
/// # Errors
/// When the store fails.
pub async fn all_keys_of<I: OwnerIndex + ?Sized>(
    index: &I,
    owner: &OwnerKey,
) -> Result<Vec<RecordKey>, StoreError> {
    let (mut keys, mut next) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = next {
        let page = index.keys_of(owner, from, PAGE).await?;
        keys.extend(page.keys);
        next = page.next;
    }
    Ok(keys)
}
