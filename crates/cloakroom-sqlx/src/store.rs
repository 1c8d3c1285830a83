//! The stores as the library calls them.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use cloakroom_store::{
    Commit, Cursor, Entry, KeyPage, Outcome, OwnerIndex, OwnerKey, RecordKey, Scan, Store,
    StoreError, Sweep, SweepProgress,
};

use crate::{
    dialect::{Dialect, Run},
    inner::Inner,
    value::{self, Value},
};

/// How many keys a page of a scan has.
const SCAN_PAGE: usize = 1_000;
/// The greatest key. Keys begin with their tag.
const LAST: [u8; 32] = [0xff; 32];

/// A store in a database. Use it by its names: [`PostgresStore`](crate::PostgresStore),
/// [`SqliteStore`](crate::SqliteStore) and [`MySqlStore`](crate::MySqlStore).
///
/// Clones share one store and are cheap.
pub struct SqlStore<D: Dialect>(pub(crate) Arc<Inner<D>>);

impl<D: Dialect> Clone for SqlStore<D> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Shows the database and the table, without user and password.
impl<D: Dialect> fmt::Debug for SqlStore<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").field("place", &self.0.place).finish_non_exhaustive()
    }
}

#[async_trait]
impl<D: Dialect> Store for SqlStore<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.0.start();
        self.0.load(key).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.0.start();
        self.0.commit(&commit).await
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
}

/// The index is the rows themselves: the owner changes in the statement that changes the record.
#[async_trait]
impl<D: Dialect> OwnerIndex for SqlStore<D> {
    async fn keys_of(
        &self,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        self.0.start();
        let after = value::after(from);
        let mut rows = self.0.owned(owner, &after, &LAST, limit.max(1)).await?;
        let mut next = None;
        if rows.len() >= limit.max(1)
            && let Some(last) = rows.last().and_then(|(key, _)| value::key(key))
        {
            // A rotation stays within a tag. So that it cannot leave this page and not reach the next
            // one, the page has the whole tag.
            let end = last_with(last.tag());
            rows.extend(self.0.owned(owner, last.as_bytes(), end.as_bytes(), usize::MAX).await?);
            next = Some(Cursor::default().with_last_key(end));
        }
        let seen = rows.len();
        Ok(KeyPage::new(self.0.live_keys(rows), next).with_seen(seen))
    }

    async fn keys_with_tag(
        &self,
        owner: &OwnerKey,
        tag: [u8; RecordKey::TAG_BYTES],
    ) -> Result<Vec<RecordKey>, StoreError> {
        self.0.start();
        let end = last_with(tag);
        let rows = self.0.owned(owner, &tag, end.as_bytes(), usize::MAX).await?;
        Ok(self.0.live_keys(rows))
    }
}

/// Returns the greatest key with a tag.
fn last_with(tag: [u8; RecordKey::TAG_BYTES]) -> RecordKey {
    let mut bytes = LAST;
    bytes[..tag.len()].copy_from_slice(&tag);
    RecordKey::from_bytes(bytes)
}

/// Pages follow the order of the keys.
#[async_trait]
impl<D: Dialect> Scan for SqlStore<D> {
    async fn scan(&self, from: Cursor) -> Result<KeyPage, StoreError> {
        self.0.start();
        let after = value::after(from);
        let rows = self.0.scanned(&after, SCAN_PAGE).await?;
        let last = rows.last().and_then(|(key, _)| value::key(key));
        let next = last.filter(|_| rows.len() == SCAN_PAGE);
        let seen = rows.len();
        let next = next.map(|key| Cursor::default().with_last_key(key));
        Ok(KeyPage::new(self.0.live_keys(rows), next).with_seen(seen))
    }
}

#[async_trait]
impl<D: Dialect> Sweep for SqlStore<D> {
    async fn sweep(&self, limit: usize) -> Result<SweepProgress, StoreError> {
        self.0.sweep(limit).await
    }
}

impl<D: Dialect> Inner<D> {
    /// Returns the keys of an owner's rows in a range, with their deadlines.
    async fn owned(
        &self,
        owner: &OwnerKey,
        after: &[u8],
        to: &[u8],
        limit: usize,
    ) -> Result<Vec<(Vec<u8>, i64)>, StoreError> {
        let values = [owner.as_bytes()[..].into(), after.into(), to.into(), value::count(limit)];
        self.look_up(&self.dialect.shared().owned, &values).await
    }

    async fn scanned(&self, after: &[u8], limit: usize) -> Result<Vec<(Vec<u8>, i64)>, StoreError> {
        self.look_up(&self.dialect.shared().scan, &[after.into(), value::count(limit)]).await
    }

    async fn look_up(
        &self,
        sql: &crate::sql::Sql,
        values: &[Value<'_>],
    ) -> Result<Vec<(Vec<u8>, i64)>, StoreError> {
        self.ready().await?;
        let rows = self.repeat(|| self.connections.pairs(sql, values)).await;
        rows.map_err(|failure| self.failed("list the sessions in", failure))
    }

    /// Returns the keys of the rows whose deadline has not passed.
    fn live_keys(&self, rows: Vec<(Vec<u8>, i64)>) -> Vec<RecordKey> {
        let now = value::millis(self.now());
        rows.iter()
            .filter(|(_, expires)| *expires > now)
            .filter_map(|(key, _)| value::key(key))
            .collect()
    }
}

#[cfg(all(test, feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod tests {
    use cloakroom_store::clock::{Clock, SystemClock};

    use super::*;
    use crate::{MySqlStore, PostgresStore, SqliteStore};

    /// Each use of the store allocates its future and moves it, so a large one costs more than the
    /// statement that it sends.
    #[test]
    fn the_futures_of_a_load_and_of_a_commit_are_small() {
        let postgres = PostgresStore::at("postgres://localhost/shop").unwrap().build().unwrap();
        let mysql = MySqlStore::at("mysql://localhost/shop").unwrap().build().unwrap();
        let sqlite = SqliteStore::at("sqlite:shop.db").unwrap().build().unwrap();
        let key = RecordKey::from_bytes([7; 32]);
        let commit = Commit::destroy(key, SystemClock.now());
        let sizes = [
            [size_of_val(&postgres.0.load(&key)), size_of_val(&postgres.0.commit(&commit))],
            [size_of_val(&mysql.0.load(&key)), size_of_val(&mysql.0.commit(&commit))],
            [size_of_val(&sqlite.0.load(&key)), size_of_val(&sqlite.0.commit(&commit))],
        ];
        assert!(sizes.iter().flatten().all(|size| *size <= 2_048), "{sizes:?}");
    }
}
