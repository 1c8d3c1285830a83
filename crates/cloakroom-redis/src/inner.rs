//! The state of a store, and how it reads.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use cloakroom_store::{Commit, Cursor, KeyPage, OwnerKey, RecordKey, StoreError, clock::Clock};
use redis::{Cmd, FromRedisValue, RedisError, RedisResult, cmd, from_redis_value};

use crate::{
    connections::Connections,
    ending_link::EndingLink,
    error::LostReply,
    fault::Fault,
    near_cache::{CacheLookup, NearCache},
    replicated::Replicated,
    script::Scripts,
    server_info, tracking,
    wire::{self, Parsed},
};

/// The largest number of entries of an owner's index that Redis reads in one step.
const MAX_PAGE: usize = 1024;

/// The state that the clones of a store share.
pub(crate) struct Inner {
    pub(crate) connections: Arc<Connections>,
    pub(crate) replicated: Option<Replicated>,
    pub(crate) scripts: Scripts,
    pub(crate) prefix: String,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) near_cache: Option<Arc<NearCache>>,
    pub(crate) endings: EndingLink,
    pub(crate) started: AtomicBool,
}

impl Inner {
    /// Starts the background tasks at the first use, because a runtime may not exist before. Starts the
    /// tracking again if its runtime has ended.
    pub(crate) fn start(self: &Arc<Self>) {
        if let Some(cache) = &self.near_cache {
            tracking::run_tracking(cache, &self.connections, &self.prefix);
        }
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        let connections = self.connections.clone();
        self.connections.spawn(async move {
            if let Err(error) = server_info::warn_about_server(&connections).await {
                tracing::debug!(%error, "could not check the settings of Redis");
            }
        });
    }

    pub(crate) fn key(&self, key: &RecordKey) -> String {
        wire::key(&self.prefix, key)
    }

    /// Reads one record from Redis.
    pub(crate) async fn get(&self, key: &RecordKey) -> RedisResult<Option<Parsed>> {
        let reply = self.connections.run(cmd("GET").arg(self.key(key))).await;
        let value: Option<Bytes> = match reply {
            Err(error) if error.code() == Some("WRONGTYPE") => {
                unreadable(key);
                return Ok(None);
            }
            reply => from_redis_value(reply?)?,
        };
        let Some(value) = value else { return Ok(None) };
        let Some(parsed) = wire::parse(&value) else {
            unreadable(key);
            return Ok(None);
        };
        Ok(Some(parsed).filter(|parsed| parsed.found.expires() > self.clock.now()))
    }

    /// Reads a page of the index of an owner.
    pub(crate) async fn scan_index(
        &self,
        owner: &OwnerKey,
        from: Cursor,
        limit: usize,
    ) -> Result<KeyPage, StoreError> {
        let [by_deadline, _] = wire::index(&self.prefix, owner);
        let mut command = cmd("ZSCAN");
        command.arg(by_deadline).arg(from.offset()).arg("COUNT").arg(limit.clamp(1, MAX_PAGE));
        let (cursor, entries): (u64, Vec<(String, f64)>) = self.look_up(&command).await?;
        let now = self.clock.now();
        let is_kept = |until: f64| wire::index_deadline(until) > now;
        let keys = entries.iter().filter(|(_, until)| is_kept(*until));
        let keys = keys.filter_map(|(name, _)| RecordKey::parse(name)).collect();
        let next = (cursor != 0).then_some(Cursor::new(0, cursor));
        Ok(KeyPage::new(keys, next).with_seen(entries.len()))
    }

    /// Runs a command on the index of an owner.
    pub(crate) async fn look_up<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        let reply = self.connections.run(command).await;
        let reply = reply.and_then(|reply| Ok(from_redis_value(reply)?));
        reply.map_err(|error| self.failed("list an owner's sessions in", error))
    }

    /// Removes the records that a commit changes from the near cache.
    pub(crate) fn evict(&self, commit: &Commit) {
        let Some(cache) = &self.near_cache else { return };
        cache.evict(&self.key(&commit.key()));
        if let Commit::Rotate { to, .. } = commit {
            cache.evict(&self.key(to));
        }
    }

    /// Reads a record through the near cache.
    pub(crate) async fn get_nearby(
        &self,
        cache: &NearCache,
        key: &RecordKey,
    ) -> RedisResult<Option<Parsed>> {
        let name = self.key(key);
        let pending = match cache.look_up(&name, self.clock.now()) {
            CacheLookup::Hit(parsed) => return Ok(Some(parsed)),
            CacheLookup::Miss(pending) => pending,
        };
        let parsed = self.get(key).await?;
        pending.finish(parsed.as_ref());
        Ok(parsed)
    }

    /// Makes a store error about a command that failed.
    pub(crate) fn failed(&self, attempted: &str, error: RedisError) -> StoreError {
        let attempted = format!("{attempted} Redis at {}", self.connections.servers());
        if Fault::of(&error).is_passing() {
            StoreError::unavailable(attempted, error)
        } else {
            StoreError::failed(attempted, error)
        }
    }

    /// Makes a store error about a write that may or may not have taken effect.
    pub(crate) fn unknown_outcome(&self) -> StoreError {
        let servers = self.connections.servers();
        let attempted = format!(
            "tell whether a session was written to Redis at {servers}: the outcome is unknown"
        );
        StoreError::unavailable(attempted, LostReply)
    }
}

/// Warns of an unreadable value, which counts as absent. An error would return with every request, and
/// the visitor could not begin a new session.
fn unreadable(key: &RecordKey) {
    tracing::warn!(?key, "ignoring an unreadable session record");
}
