//! Records that were read, in this process's memory until Redis says that they changed.
//!
//! Every load of the store goes through the cache. Redis pushes the name of every key of ours that
//! anybody changes over a connection for that alone (`CLIENT TRACKING … BCAST`). The rules that keep
//! a changed record from being served:
//! 1. An answer is kept only if nothing of its shard was evicted since the question was sent,
//!    because a push may overtake the answer.
//! 2. Of two answers that differ one is stale, and nothing says which. Neither is kept.
//! 3. A commit evicts before it is sent and after it is answered, so the next read here sees it. The
//!    answer may be an error, and the commit may be carried out later all the same. Its push then
//!    evicts, as that of another server does.
//! 4. When the connection drops everything goes, and nothing is kept until it stands again.
//! 5. Nothing is served for longer than [`LONGEST`], in case the connection is dead and does not
//!    show it.
//! 6. A record whose deadline has passed is not served. Another server may have moved the deadline
//!    and its push may be on the way, so Redis is asked.
//!
//! Rules 4 and 5 are the bound: what another server changes is seen here as soon as its push
//! arrives, and [`LONGEST`] later at the latest. A record from the cache may have an old revision.
//! This endangers no write, because every commit compares with what is in Redis.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cloakroom::clock::Timestamp;
use redis::{PushInfo, PushKind, Value};

use crate::wire::Parsed;

/// No record is served from memory for longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);
const SHARDS: usize = 64;
/// A shard that has more is emptied: memory is bounded, and a full shard is no reason to be clever.
const MOST_IN_SHARD: usize = 1_024;

#[derive(Debug)]
pub(crate) struct NearCache {
    shards: [Mutex<Shard>; SHARDS],
    /// Whether the connection that pushes arrive over stands.
    live: AtomicBool,
    hits: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    records: HashMap<String, (Parsed, Instant)>,
    evictions: u64,
}

impl Default for NearCache {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, live: AtomicBool::new(false), hits: AtomicU64::new(0) }
    }
}

/// What has to be true still when the answer to a question comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    evictions: u64,
}

/// What the cache says to a question.
pub(crate) enum Answer {
    Known(Parsed),
    Ask(Asked),
}

impl NearCache {
    /// Returns the record under `key` if it may be served at `now`.
    pub(crate) fn look_up(&self, key: &str, now: Timestamp) -> Answer {
        let shard = self.shard(key);
        if self.live.load(Ordering::SeqCst)
            && let Some((parsed, kept)) = shard.records.get(key)
            && kept.elapsed() < LONGEST
            && parsed.found.expires() > now
        {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Answer::Known(parsed.clone());
        }
        Answer::Ask(Asked { evictions: shard.evictions })
    }

    /// Keeps the answer to a question that was asked at `asked`, unless it may be stale already.
    pub(crate) fn keep(&self, key: &str, parsed: Parsed, asked: Asked, at: Instant) {
        let mut shard = self.shard(key);
        if shard.evictions != asked.evictions || !self.live.load(Ordering::SeqCst) {
            return;
        }
        if shard.records.get(key).is_some_and(|(kept, _)| kept.found != parsed.found) {
            shard.records.remove(key);
            shard.evictions += 1;
            return;
        }
        if shard.records.len() >= MOST_IN_SHARD {
            shard.records.clear();
        }
        shard.records.insert(key.to_owned(), (parsed, at));
    }

    pub(crate) fn evict(&self, key: &str) {
        let mut shard = self.shard(key);
        shard.evictions += 1;
        shard.records.remove(key);
    }

    /// Notes that the connection stands or does not. Either way what was kept until now goes.
    pub(crate) fn set_live(&self, live: bool) {
        self.live.store(live, Ordering::SeqCst);
        self.clear();
    }

    fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.evictions += 1;
            shard.records.clear();
        }
    }

    /// Evicts what a push names.
    pub(crate) fn pushed(&self, push: &PushInfo) {
        match (&push.kind, push.data.first()) {
            (PushKind::Invalidate, Some(Value::Array(keys))) => {
                for key in keys {
                    if let Value::BulkString(key) = key {
                        self.evict(&String::from_utf8_lossy(key));
                    }
                }
            }
            // The whole database was flushed.
            (PushKind::Invalidate, _) => self.clear(),
            (PushKind::Disconnection, _) => self.set_live(false),
            _ => (),
        }
    }

    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        lock(&self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or_default()])
    }
}

/// Every critical section leaves a whole shard.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cloakroom::store::{Draft, Revision};

    use super::*;
    use crate::wire;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// A record that lives from 0 to `expires`.
    fn record(expires: u64) -> Parsed {
        let draft = Draft::new("values", at(0), Duration::from_millis(expires));
        wire::parse(&wire::record(&draft, Revision(1)).into()).unwrap()
    }

    fn ask(cache: &NearCache, now: u64) -> Option<Asked> {
        match cache.look_up("key", at(now)) {
            Answer::Known(_) => None,
            Answer::Ask(asked) => Some(asked),
        }
    }

    #[test]
    fn a_record_is_served_until_its_deadline_and_then_asked_for_again() {
        let cache = NearCache::default();
        cache.set_live(true);
        let asked = ask(&cache, 0).unwrap();
        cache.keep("key", record(1_000), asked, Instant::now());
        assert!(ask(&cache, 999).is_none());
        assert_eq!(cache.hits(), 1);
        let asked = ask(&cache, 1_000).expect("Redis is asked");
        assert_eq!(cache.hits(), 1, "that was no hit");

        // Another server moved the deadline, and its push has not arrived.
        cache.keep("key", record(2_000), asked, Instant::now());
        let asked = ask(&cache, 1_000).expect("of two answers neither is kept");
        cache.keep("key", record(2_000), asked, Instant::now());
        assert!(ask(&cache, 1_999).is_none());
    }

    #[test]
    fn an_answer_that_an_eviction_overtook_is_not_kept() {
        let cache = NearCache::default();
        cache.set_live(true);
        let asked = ask(&cache, 0).unwrap();
        cache.evict("key");
        cache.keep("key", record(1_000), asked, Instant::now());
        let asked = ask(&cache, 0).expect("not kept");
        cache.set_live(false);
        cache.keep("key", record(1_000), asked, Instant::now());
        assert!(ask(&cache, 0).is_some(), "nor without a connection");
    }
}
