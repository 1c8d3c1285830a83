//! Lists the sessions of an owner.

use std::io;

use async_trait::async_trait;

use cloakroom_store::{
    Cursor, KeyPage, OwnerIndex, OwnerKey, RecordKey, StoreError, clock::Timestamp,
};

use crate::{
    inner::{Inner, missing_is_none},
    store::FileStore,
};

const LIST: &str = "list an owner's session files";

#[async_trait]
impl OwnerIndex for FileStore {
    async fn keys_of(
        &self,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        let (inner, owner) = (self.0.clone(), *owner);
        let list = move || inner.keys_of(&owner, from.last_key(), limit.max(1));
        self.0.blocking_pool.read(LIST, list).await
    }

    async fn keys_with_tag(
        &self,
        owner: &OwnerKey,
        tag: [u8; RecordKey::TAG_BYTES],
    ) -> Result<Vec<RecordKey>, StoreError> {
        let (inner, owner) = (self.0.clone(), *owner);
        let find = move || {
            let keys = missing_is_none(inner.owners.keys_with_tag(&owner, tag).map(Some))?;
            inner.owned(&owner, keys.unwrap_or_default())
        };
        self.0.blocking_pool.read(LIST, find).await
    }
}

impl Inner {
    /// Returns a page of the keys of `owner` after the key `after`.
    fn keys_of(
        &self,
        owner: &OwnerKey,
        after: Option<RecordKey>,
        limit: usize,
    ) -> io::Result<KeyPage> {
        let keys = missing_is_none(self.owners.keys_after(owner, after, limit).map(Some))?;
        let mut keys = keys.unwrap_or_default();
        let has_more = keys.len() > limit;
        keys.truncate(limit);
        let next = keys.last().filter(|_| has_more);
        let next = next.map(|last| Cursor::default().with_last_key(*last));
        let seen = keys.len();
        Ok(KeyPage::new(self.owned(owner, keys)?, next).with_seen(seen))
    }

    /// Returns those of `keys` under which `owner` has a record or a tombstone.
    fn owned(&self, owner: &OwnerKey, mut keys: Vec<RecordKey>) -> io::Result<Vec<RecordKey>> {
        let now = self.clock.now();
        let mut failure = Ok(());
        keys.retain(|key| match self.is_owned(key, owner, now) {
            Ok(owned) => owned,
            Err(error) => {
                failure = Err(error);
                true
            }
        });
        failure.map(|()| keys)
    }

    /// Returns `true` if there is a record or tombstone of `owner` under `key`.
    fn is_owned(&self, key: &RecordKey, owner: &OwnerKey, now: Timestamp) -> io::Result<bool> {
        let Some(shard) = missing_is_none(self.shard(key))? else { return Ok(false) };
        let header = shard.header(key)?.header();
        Ok(header.is_some_and(|header| header.owner == Some(*owner) && header.expires > now))
    }
}
