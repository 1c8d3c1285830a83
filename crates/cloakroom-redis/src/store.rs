//! The store.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom_store::{
    Commit, Cursor, Entry, KeyPage, Outcome, OwnerIndex, OwnerKey, RecordKey, Scan, Store,
    StoreError, clock::Clock,
};
use redis::{
    Cmd, ErrorKind, FromRedisValue, RedisError, RedisResult, ServerErrorKind, cmd, from_redis_value,
};

use crate::{
    ConfigError, RedisStoreBuilder, Servers,
    connections::Connections,
    health,
    near_cache::{Answer, NearCache},
    scan,
    script::Scripts,
    steps::StepError,
    tracking,
    wire::{self, Parsed},
};

/// How many entries of an owner's index Redis looks at in one step.
const LOOK_AT: usize = 1024;

/// Keeps records in Redis or Valkey, 6.2 or newer: one server, Sentinel or Cluster, with or without
/// TLS. For applications on several machines.
///
/// Nothing is connected until the first request needs it, and one connection serves all. While
/// Redis cannot be reached every request that needs its session fails with an error that
/// [says so](cloakroom_store::StoreError::is_unavailable), within the timeouts; nobody is signed out by it.
///
/// Cheap to clone.
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
/// Redis replicates behind its own back: a write is acknowledged by the master alone. When a master
/// dies before its replicas have the last writes, those are lost, though they were acknowledged: the
/// session is then as it was before them. Where such a write was a logout or a new token, the old
/// session is live again until its deadline. [`wait_replicas`](RedisStoreBuilder::wait_replicas) has
/// these two acknowledged by replicas first, which makes it unlikely and not impossible: Redis does
/// not promise that the replica that has the write becomes the master.
///
/// ```
/// use cloakroom_redis::RedisStore;
///
/// let store = RedisStore::open("redis://127.0.0.1:6379/0")?;
/// # Ok::<(), cloakroom_redis::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct RedisStore(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) connections: Arc<Connections>,
    /// A connection of its own for what waits for replicas: the server makes everything behind a
    /// `WAIT` on a connection wait as well.
    pub(crate) replicated: Option<(Connections, u32)>,
    pub(crate) scripts: Scripts,
    pub(crate) prefix: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) near_cache: Option<Arc<NearCache>>,
    pub(crate) started: AtomicBool,
}

impl RedisStore {
    /// The store at a URL, with the default settings.
    ///
    /// # Errors
    /// When a part of the URL cannot be used; the error names the part.
    pub fn open(url: &str) -> Result<Self, ConfigError> {
        Self::builder(Servers::at(url)?).build()
    }

    /// The store on these servers, with settings.
    pub fn builder(servers: Servers) -> RedisStoreBuilder {
        RedisStoreBuilder::new(servers)
    }

    /// How many reads the near cache has answered.
    pub fn near_cache_hits(&self) -> u64 {
        self.0.near_cache.as_ref().map_or(0, |cache| cache.hits())
    }
}

impl Inner {
    /// What happens once, at the first use: only then a runtime is sure to be there.
    fn start(self: &Arc<Self>) {
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        if let Some(cache) = &self.near_cache {
            tracking::run_tracking(cache, self.connections.clone(), self.prefix.clone());
        }
        let connections = self.connections.clone();
        self.connections.spawn(async move {
            if let Err(error) = health::warn_about_server(&connections).await {
                tracing::debug!(%error, "could not look at the settings of Redis");
            }
        });
    }

    pub(crate) fn key(&self, key: &RecordKey) -> String {
        wire::key(&self.prefix, key)
    }

    /// Reads one record from Redis.
    async fn get(&self, key: &RecordKey) -> RedisResult<Option<Parsed>> {
        let answer = self.connections.run(cmd("GET").arg(self.key(key))).await;
        let value: Option<Bytes> = match answer {
            Err(error) if error.code() == Some("WRONGTYPE") => {
                unreadable(key);
                return Ok(None);
            }
            answer => from_redis_value(answer?)?,
        };
        let Some(value) = value else { return Ok(None) };
        let Some(parsed) = wire::parse(&value) else {
            unreadable(key);
            return Ok(None);
        };
        Ok(Some(parsed).filter(|parsed| parsed.found.expires() > self.clock.now()))
    }

    /// One step through the index of an owner.
    async fn scan_index(
        &self,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        let [by_deadline, _] = wire::index(&self.prefix, owner);
        let mut command = cmd("ZSCAN");
        command.arg(by_deadline).arg(from.offset()).arg("COUNT").arg(limit.clamp(1, LOOK_AT));
        let (cursor, entries): (u64, Vec<(String, f64)>) = self.look_up(&command).await?;
        let now = self.clock.now();
        let is_kept = |until: f64| wire::index_deadline(until) > now;
        let keys = entries.iter().filter(|(_, until)| is_kept(*until));
        let keys = keys.filter_map(|(name, _)| RecordKey::parse(name)).collect();
        let next = (cursor != 0).then_some(Cursor::new(0, cursor));
        Ok(KeyPage::new(keys, next).with_seen(entries.len()))
    }

    /// Runs a command on the index of an owner.
    async fn look_up<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let answer = self.connections.run(command).await;
        let answer = answer.and_then(|answer| Ok(from_redis_value(answer)?));
        answer.map_err(|error| self.failed("list an owner's sessions in", error))
    }

    fn evict(&self, commit: &Commit) {
        let Some(cache) = &self.near_cache else { return };
        cache.evict(&self.key(&commit.key()));
        if let Commit::Rotate { to, .. } = commit {
            cache.evict(&self.key(to));
        }
    }

    /// Reads a record through the near cache.
    async fn get_nearby(&self, cache: &NearCache, key: &RecordKey) -> RedisResult<Option<Parsed>> {
        let name = self.key(key);
        let question = match cache.look_up(&name, self.clock.now()) {
            Answer::Known(parsed) => return Ok(Some(parsed)),
            Answer::Ask(question) => question,
        };
        let parsed = self.get(key).await?;
        question.answered(parsed.as_ref());
        Ok(parsed)
    }

    pub(crate) fn failed(&self, attempted: &str, error: RedisError) -> StoreError {
        let attempted = format!("{attempted} Redis at {}", self.connections.servers());
        if is_passing(&error) {
            StoreError::unavailable(attempted, error)
        } else {
            StoreError::failed(attempted, error)
        }
    }

    fn unknown_outcome(&self) -> StoreError {
        let servers = self.connections.servers();
        let attempted = format!(
            "tell whether a session was written to Redis at {servers}: the outcome is unknown"
        );
        StoreError::unavailable(attempted, LostAnswer)
    }
}

/// The cause of an unknown outcome.
#[derive(Debug)]
struct LostAnswer;

impl fmt::Display for LostAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the connection broke before the reply arrived, and the record does not show any more \
             whether this write took effect",
        )
    }
}

impl std::error::Error for LostAnswer {}

/// Whether the same command may succeed later.
fn is_passing(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain};
    let server = [BusyLoading, ClusterDown, MasterDown, ReadOnly, TryAgain];
    let words = ["OOM", "BUSY", "NOREPLICAS", "MISCONF"];
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_cluster_error()
        || matches!(error.kind(), ErrorKind::Server(kind) if server.contains(&kind))
        || error.code().is_some_and(|code| words.contains(&code))
        || matches!(
            error.kind(),
            ErrorKind::ClusterConnectionNotFound
                | ErrorKind::MasterNameNotFoundBySentinel
                | ErrorKind::Io
                | ErrorKind::Parse
        )
        // What a script ran into is told in its own error's text.
        || error.detail().is_some_and(|detail| words.iter().any(|word| detail.contains(word)))
}

/// A value that cannot be read is an absence: answering with an error for ever helps nobody.
fn unreadable(key: &RecordKey) {
    tracing::warn!(?key, "what stands under a session's key is not a session; starting anew");
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

/// Steps of a `ZSCAN`, because a range by score or rank would pass over what is touched or removed
/// between two pages. An index of up to 128 entries comes in one step, whatever the limit.
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

/// One step of a `SCAN`; in a cluster of one node after the other.
#[async_trait]
impl Scan for RedisStore {
    async fn scan(&self, from: Cursor) -> Result<KeyPage, StoreError> {
        let page = scan::page(&self.0.connections, &self.0.prefix, from).await;
        page.map_err(|error| self.0.failed("list the sessions in", error))
    }
}

/// Shows where the servers are.
impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("servers", self.0.connections.servers())
            .field("prefix", &self.0.prefix)
            .finish_non_exhaustive()
    }
}
