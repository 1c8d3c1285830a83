//! The store as the library calls it.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use cloakroom_store::{
    Commit, Cursor, EndingFeed, Entry, KeyPage, KeyWatch, Outcome, OwnerIndex, OwnerKey, RecordKey,
    Scan, Store, StoreError,
};
use redis::cmd;

use crate::{
    builder::RedisStoreBuilder,
    inner::Inner,
    scan,
    servers::{ConfigError, Servers},
    steps::StepError,
    wire,
};

/// Stores records in Redis or Valkey, 6.2 or newer: one server, Sentinel or Cluster, with or without
/// TLS. Use it for applications on several machines.
///
/// The first request that needs a session connects, and all requests share one connection. While Redis
/// cannot be reached, every request that needs its session fails within the timeouts with an error that
/// [is unavailable](StoreError::is_unavailable). Visitors stay signed in.
///
/// Clones share one store and are cheap.
///
/// # When a connection breaks
/// A command whose reply was lost is sent again, once, and takes effect once. The record keeps its
/// last four revisions besides the current one, so the second copy finds the first one's write also
/// if other requests have written since, and reports it as done. If more than four others have, or
/// nothing is left under the key, the outcome is unknown: the commit fails with an error that
/// [is unavailable](StoreError::is_unavailable) and says so. It is never reported as a conflict,
/// because after a conflict the library makes the request's changes again.
///
/// # What a fail-over can lose
/// Redis replicates asynchronously, so the master alone acknowledges a write. If a master dies before its
/// replicas have the last writes, these writes are lost although they were acknowledged. If one of them
/// was a logout or a new token, the old session is live again until its deadline.
/// [`wait_replicas`](RedisStoreBuilder::wait_replicas) makes these two writes wait for replicas. A loss is
/// then unlikely, but possible, because Redis does not guarantee that a replica with the write becomes
/// the master.
///
/// ```
/// use cloakroom_redis::RedisStore;
///
/// let store = RedisStore::open("redis://127.0.0.1:6379/0")?;
/// # Ok::<(), cloakroom_redis::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct RedisStore(pub(crate) Arc<Inner>);

impl RedisStore {
    /// Returns a store for the server at a URL, with the default settings. The first use connects.
    ///
    /// # Errors
    /// When a part of the URL cannot be used. The error names the part.
    ///
    /// ```
    /// use cloakroom_redis::RedisStore;
    ///
    /// let store = RedisStore::open("rediss://app:secret@sessions.example:6379/0")?;
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn open(url: &str) -> Result<Self, ConfigError> {
        Self::builder(Servers::at(url)?).build()
    }

    /// Returns a builder for a store on these servers.
    ///
    /// ```
    /// use cloakroom_redis::{RedisStore, Servers};
    ///
    /// let servers = Servers::cluster(["10.0.0.1:6379", "10.0.0.2:6379"])?;
    /// let store = RedisStore::builder(servers).key_prefix("shop:session:").build()?;
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn builder(servers: Servers) -> RedisStoreBuilder {
        RedisStoreBuilder::new(servers)
    }

    /// Returns the number of reads that the near cache has served.
    ///
    /// ```
    /// use cloakroom_redis::RedisStore;
    ///
    /// let store = RedisStore::open("redis://127.0.0.1:6379/0")?;
    /// assert_eq!(store.near_cache_hits(), 0);
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn near_cache_hits(&self) -> u64 {
        self.0.near_cache.as_ref().map_or(0, |cache| cache.hits())
    }
}

#[async_trait]
impl Store for RedisStore {
    fn name(&self) -> &'static str {
        "redis"
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        self.0.start();
        let loaded = match &self.0.near_cache {
            Some(cache) => self.0.get_nearby(cache, key).await,
            None => self.0.get(key).await,
        };
        let loaded = loaded.map_err(|error| self.0.failed("read a session from", error))?;
        Ok(loaded.map(|parsed| parsed.found))
    }

    fn as_owner_index(&self) -> Option<&dyn OwnerIndex> {
        Some(self)
    }

    fn as_scan(&self) -> Option<&dyn Scan> {
        Some(self)
    }

    fn as_ending_feed(&self) -> Option<&dyn EndingFeed> {
        Some(self)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.0.start();
        self.0.evict(&commit);
        let outcome = self.0.carry_out(&commit).await;
        self.0.evict(&commit);
        outcome.map_err(|error| match error {
            StepError::Redis(error) => self.0.failed("write a session to", error),
            StepError::Unknown => self.0.unknown_outcome(),
        })
    }
}

/// Pages are steps of a `ZSCAN`, because a range by score or rank would skip entries that are touched or
/// removed between two pages. An index of up to 128 entries comes in one step, whatever the limit.
#[async_trait]
impl OwnerIndex for RedisStore {
    async fn keys_of(
        &self,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        self.0.start();
        self.0.scan_index(owner, from, limit).await
    }

    async fn keys_with_tag(
        &self,
        owner: &OwnerKey,
        tag: [u8; RecordKey::TAG_BYTES],
    ) -> Result<Vec<RecordKey>, StoreError> {
        self.0.start();
        let [_, by_name] = wire::index(&self.0.prefix, owner);
        let [first, last] = wire::beginning_with(tag);
        let mut command = cmd("ZRANGE");
        command.arg(by_name).arg(first).arg(last).arg("BYLEX");
        let names: Vec<String> = self.0.look_up(&command).await?;
        let keys = names.iter().filter_map(|name| RecordKey::parse(name));
        Ok(keys.filter(|key| key.tag() == tag).collect())
    }
}

/// While keys are watched, one more connection is open, and to a cluster one for each master. A watch costs
/// one command. A write of a watched session costs one more for each process that watches it, and a write of
/// another session costs nothing.
impl EndingFeed for RedisStore {
    fn watch(&self, key: &RecordKey) -> KeyWatch {
        self.0.watch_ending(key)
    }
}

/// Pages are steps of a `SCAN`, in a cluster of one node after the other.
#[async_trait]
impl Scan for RedisStore {
    async fn scan(&self, from: Cursor) -> Result<KeyPage, StoreError> {
        let page = scan::page(&self.0.connections, &self.0.prefix, from).await;
        page.map_err(|error| self.0.failed("list the sessions in", error))
    }
}

/// Shows the servers and the prefix.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("servers", self.0.connections.servers())
            .field("prefix", &self.0.prefix)
            .finish_non_exhaustive()
    }
}
