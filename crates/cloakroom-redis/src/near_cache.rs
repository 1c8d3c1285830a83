//! The near cache: records that were read stay in this process's memory until Redis reports a change.
//!
//! Every load of the store uses the cache. Over a separate connection, Redis pushes the name of every key
//! with the store's prefix that any client changes (`CLIENT TRACKING … BCAST`). These rules keep a changed
//! record from being served:
//! 1. A reply is kept only if no record of its shard was evicted since the command was sent, because a
//!    push may overtake the reply.
//! 2. A reply is kept only if all other replies for its key since the command was sent are the same. Of two
//!    different replies one is stale, and it is unknown which, so neither is kept. So no reader of this
//!    process sees a state that is older than one that it has seen.
//! 3. A commit evicts its record before it is sent and after its reply, so the next read here sees it. If
//!    the commit failed and is carried out later all the same, its push evicts the record.
//! 4. When the connection breaks, all records leave, and none is kept until it is made again.
//! 5. No record is served for longer than [`MAX_AGE`], because a dead connection may not show it.
//! 6. A record is not served after its deadline. Another server may have moved the deadline and its push
//!    may be on the way, so Redis is read.
//!
//! The cache has a limit in bytes. When it is full, the records that were unused for the longest time
//! leave.
//!
//! By rules 4 and 5, a change by another server is visible here when its push arrives, and [`MAX_AGE`]
//! later at the latest. A record from the cache may have an old revision. Writes stay safe, because every
//! commit compares the revision in Redis.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cloakroom_store::{Entry, clock::Timestamp};
use redis::{PushInfo, PushKind, Value};

use crate::wire::Parsed;

/// The longest time that a record is served from memory.
pub(crate) const MAX_AGE: Duration = Duration::from_secs(5);
/// The default size: 64 MiB.
pub(crate) const DEFAULT_BYTES: usize = 64 * 1024 * 1024;
/// The smallest size of a shard. It has room for a large record, and a small cache is one shard, which
/// counts exactly.
const MIN_SHARD_BYTES: usize = 4 * 1024 * 1024;
const MAX_SHARDS: usize = 64;
/// The bytes of an entry besides its key and its record: the value's header and the entries of both
/// maps.
const OVERHEAD: usize = 512;

#[derive(Debug)]
pub(crate) struct NearCache {
    shards: Box<[Mutex<Shard>]>,
    /// The largest size of a shard in bytes.
    room: usize,
    /// Whether the connection for pushes is open.
    live: AtomicBool,
    /// Whether a task reports changes, or connects to do so.
    tracked: AtomicBool,
    hits: AtomicU64,
}

#[derive(Debug, Default)]
struct Shard {
    records: HashMap<Arc<str>, Kept>,
    /// The keys by their last use.
    by_use: BTreeMap<u64, Arc<str>>,
    uses: u64,
    bytes: usize,
    evictions: u64,
    /// The keys that are being read from Redis.
    pending: HashMap<Arc<str>, Replies>,
    /// The number of replies.
    replies: u64,
}

/// The replies for one key since the oldest pending read was sent.
#[derive(Debug, Default)]
struct Replies {
    /// The number of pending reads.
    waiting: usize,
    last: Option<Entry>,
    /// The number of the last reply among those of the shard, or 0 before the first.
    last_number: u64,
    /// The number of the last reply that differs from `last`.
    other_number: u64,
}

impl Replies {
    /// Adds the reply of this number to a read that was sent after `sent_after` replies. Returns `true` if
    /// all replies since then are the same.
    fn add(&mut self, found: Option<&Entry>, number: u64, sent_after: u64) -> bool {
        let is_same = self.last.as_ref() == found;
        let agree = if is_same { self.other_number } else { self.last_number } <= sent_after;
        if !is_same {
            self.other_number = self.last_number;
            self.last = found.cloned();
        }
        self.last_number = number;
        agree
    }
}

#[derive(Debug)]
struct Kept {
    parsed: Parsed,
    at: Instant,
    /// The time of its last use, in uses of the shard.
    used: u64,
}

impl Shard {
    /// Returns the record under `key`. Counts as a use.
    fn use_record(&mut self, key: &str) -> Option<&Kept> {
        let kept = self.records.get_mut(key)?;
        let name = self.by_use.remove(&kept.used)?;
        self.uses += 1;
        kept.used = self.uses;
        self.by_use.insert(kept.used, name);
        Some(kept)
    }

    fn insert(&mut self, key: &str, parsed: Parsed, at: Instant, room: usize) {
        self.remove(key);
        let size = size(key, &parsed);
        if size > room {
            return;
        }
        while self.bytes + size > room
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            self.remove(&oldest);
        }
        self.uses += 1;
        self.bytes += size;
        let name: Arc<str> = key.into();
        self.by_use.insert(self.uses, name.clone());
        self.records.insert(name, Kept { parsed, at, used: self.uses });
    }

    fn remove(&mut self, key: &str) {
        if let Some(kept) = self.records.remove(key) {
            self.by_use.remove(&kept.used);
            self.bytes -= size(key, &kept.parsed);
        }
    }
}

/// Returns the memory that a record takes, in bytes and rounded up.
fn size(key: &str, parsed: &Parsed) -> usize {
    let record = match &parsed.found {
        Entry::Live(stored) => stored.bytes.len(),
        Entry::Tombstone { .. } => 0,
    };
    OVERHEAD + key.len() + record
}

/// The result of a lookup.
pub(crate) enum CacheLookup<'a> {
    Hit(Parsed),
    /// The record has to be read from Redis.
    Miss(PendingRead<'a>),
}

/// A read from Redis that waits for its reply. It may be dropped without a reply.
pub(crate) struct PendingRead<'a> {
    cache: &'a NearCache,
    key: Arc<str>,
    sent: Instant,
    sent_after: u64,
    evictions: u64,
}

impl PendingRead<'_> {
    /// Keeps the reply if it is a record and cannot be stale.
    pub(crate) fn finish(self, parsed: Option<&Parsed>) {
        let mut shard = self.cache.shard(&self.key);
        let is_current = shard.evictions == self.evictions && self.cache.is_live();
        let found = parsed.map(|parsed| &parsed.found);
        shard.replies += 1;
        let number = shard.replies;
        let replies = shard.pending.get_mut(&self.key);
        let agree = replies.is_some_and(|replies| replies.add(found, number, self.sent_after));
        match parsed {
            Some(parsed) if is_current && agree && matches!(parsed.found, Entry::Live(_)) => {
                shard.insert(&self.key, parsed.clone(), self.sent, self.cache.room);
            }
            // The kept record may be older than this reply, which a reader sees now.
            _ if shard
                .records
                .get(&self.key)
                .is_some_and(|kept| Some(&kept.parsed.found) != found) =>
            {
                shard.remove(&self.key);
            }
            _ => (),
        }
    }
}

impl Drop for PendingRead<'_> {
    fn drop(&mut self) {
        let mut shard = self.cache.shard(&self.key);
        if let Some(replies) = shard.pending.get_mut(&self.key) {
            replies.waiting -= 1;
            if replies.waiting == 0 {
                shard.pending.remove(&self.key);
            }
        }
    }
}

impl NearCache {
    /// Makes a cache of up to `bytes` bytes of memory.
    pub(crate) fn new(bytes: usize) -> Self {
        let shards = (bytes / MIN_SHARD_BYTES).clamp(1, MAX_SHARDS);
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(shards).collect(),
            room: bytes / shards,
            live: AtomicBool::new(false),
            tracked: AtomicBool::new(false),
            hits: AtomicU64::new(0),
        }
    }

    /// Returns the record under `key` if it may be served at `now`.
    pub(crate) fn look_up(&self, key: &str, now: Timestamp) -> CacheLookup<'_> {
        let mut shard = self.shard(key);
        if self.is_live()
            && let Some(Kept { parsed, at, .. }) = shard.use_record(key)
            && at.elapsed() < MAX_AGE
            && parsed.found.expires() > now
        {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return CacheLookup::Hit(parsed.clone());
        }
        let key: Arc<str> = key.into();
        shard.pending.entry(key.clone()).or_default().waiting += 1;
        let Shard { replies: sent_after, evictions, .. } = *shard;
        CacheLookup::Miss(PendingRead {
            cache: self,
            key,
            sent: Instant::now(),
            sent_after,
            evictions,
        })
    }

    /// Removes the record under `key`. Replies to reads that were sent before are not kept.
    pub(crate) fn evict(&self, key: &str) {
        let mut shard = self.shard(key);
        shard.evictions += 1;
        shard.remove(key);
    }

    /// Returns `true` if the caller has to start the task that reports changes.
    pub(crate) fn begin_tracking(&self) -> bool {
        !self.tracked.load(Ordering::Relaxed) && !self.tracked.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn end_tracking(&self) {
        self.set_live(false);
        self.tracked.store(false, Ordering::SeqCst);
    }

    /// Sets whether the connection for pushes is open. Removes all records either way.
    pub(crate) fn set_live(&self, live: bool) {
        self.live.store(live, Ordering::SeqCst);
        self.clear();
    }

    fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            shard.records.clear();
            shard.by_use.clear();
            shard.bytes = 0;
            shard.evictions += 1;
        }
    }

    /// Evicts the records that a push names.
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

    fn is_live(&self) -> bool {
        self.live.load(Ordering::SeqCst)
    }

    pub(crate) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(key);
        lock(&self.shards[usize::try_from(hash % self.shards.len() as u64).unwrap_or_default()])
    }
}

/// Locks a shard. A panic elsewhere does not matter, because every critical section leaves the shard
/// consistent.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use cloakroom_store::{Draft, Revision};

    use super::*;
    use crate::wire;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    /// Returns a record that lives from 0 to `expires`.
    fn record(expires: u64) -> Parsed {
        let draft = Draft::new("values", at(0), Duration::from_millis(expires));
        wire::parse(&wire::record(&draft, Revision(1)).into()).unwrap()
    }

    fn ask(cache: &NearCache, now: u64) -> Option<PendingRead<'_>> {
        match cache.look_up("key", at(now)) {
            CacheLookup::Hit(_) => None,
            CacheLookup::Miss(pending) => Some(pending),
        }
    }

    fn live_cache() -> NearCache {
        let cache = NearCache::new(DEFAULT_BYTES);
        cache.set_live(true);
        cache
    }

    #[test]
    fn a_record_is_served_until_its_deadline_and_then_read_again() {
        let cache = live_cache();
        ask(&cache, 0).unwrap().finish(Some(&record(1_000)));
        assert!(ask(&cache, 999).is_none());
        assert_eq!(cache.hits(), 1);
        let pending = ask(&cache, 1_000).expect("Redis is read");
        assert_eq!(cache.hits(), 1, "that was no hit");

        // Another server moved the deadline, and its push has not arrived.
        pending.finish(Some(&record(2_000)));
        assert!(ask(&cache, 1_999).is_none());
    }

    #[test]
    fn a_reply_that_an_eviction_overtook_is_not_kept() {
        let cache = live_cache();
        let pending = ask(&cache, 0).unwrap();
        cache.evict("key");
        pending.finish(Some(&record(1_000)));
        let pending = ask(&cache, 0).expect("not kept");
        cache.set_live(false);
        pending.finish(Some(&record(1_000)));
        assert!(ask(&cache, 0).is_some(), "nor without a connection");
    }

    /// A push evicts the key of the first read. The second read is sent later, and its reply is older than the
    /// next change, which the first read has seen.
    #[test]
    fn what_a_reader_has_seen_is_not_undone_by_an_older_reply() {
        let tombstone = || {
            let tombstone = wire::tombstone(at(1_000), None, Revision(2));
            wire::parse(&tombstone.into()).unwrap()
        };
        for newer in [None, Some(tombstone()), Some(record(2_000))] {
            for newer_first in [true, false] {
                let cache = live_cache();
                let first = ask(&cache, 0).unwrap();
                cache.evict("key");
                let second = ask(&cache, 0).unwrap();
                let older = record(1_000);
                if newer_first {
                    first.finish(newer.as_ref());
                    second.finish(Some(&older));
                } else {
                    second.finish(Some(&older));
                    assert!(ask(&cache, 0).is_none());
                    first.finish(newer.as_ref());
                }
                let pending = ask(&cache, 0).expect("the older reply is not served");
                pending.finish(Some(&record(2_000)));
                assert!(ask(&cache, 0).is_none());
            }
        }
    }

    #[test]
    fn a_record_is_kept_although_it_is_read_all_the_time() {
        let cache = live_cache();
        let first = ask(&cache, 0).unwrap();
        cache.evict("key");
        let second = ask(&cache, 0).unwrap();
        first.finish(Some(&record(1_000)));
        let third = ask(&cache, 0).unwrap();
        second.finish(Some(&record(2_000)));
        let fourth = ask(&cache, 0).expect("the first two differ");
        third.finish(Some(&record(2_000)));
        fourth.finish(Some(&record(2_000)));
        assert!(ask(&cache, 0).is_none());
        assert!(cache.shard("key").pending.is_empty());
    }

    #[test]
    fn a_read_that_is_dropped_leaves_nothing() {
        let cache = live_cache();
        drop(ask(&cache, 0));
        assert!(cache.shard("key").pending.is_empty());
    }

    /// Returns a record of this size.
    fn sized(bytes: usize) -> Parsed {
        let draft = Draft::new(vec![b'x'; bytes], at(0), Duration::from_secs(1));
        wire::parse(&wire::record(&draft, Revision(1)).into()).unwrap()
    }

    fn keep(cache: &NearCache, key: &str, bytes: usize) {
        if let CacheLookup::Miss(pending) = cache.look_up(key, at(0)) {
            pending.finish(Some(&sized(bytes)));
        }
    }

    fn has(cache: &NearCache, key: &str) -> bool {
        cache.shard(key).records.contains_key(key)
    }

    fn bytes(cache: &NearCache) -> usize {
        cache.shards.iter().map(|shard| lock(shard).bytes).sum()
    }

    #[test]
    fn the_least_recently_used_record_leaves_first() {
        let cache = NearCache::new(3 * size("a", &sized(1_000)));
        cache.set_live(true);
        for key in ["a", "b", "c"] {
            keep(&cache, key, 1_000);
        }
        assert!(matches!(cache.look_up("a", at(0)), CacheLookup::Hit(_)));
        keep(&cache, "d", 1_000);
        assert_eq!(["a", "b", "c", "d"].map(|key| has(&cache, key)), [true, false, true, true]);
        keep(&cache, "e", 2_000);
        assert_eq!(["a", "c", "d", "e"].map(|key| has(&cache, key)), [false, false, true, true]);
        keep(&cache, "too large", 10_000);
        assert!(!has(&cache, "too large") && has(&cache, "d"), "it drives nothing out");
    }

    #[test]
    fn memory_stays_within_the_bytes_whatever_the_records_sizes() {
        for (room, largest) in [(64 * 1024, 8 * 1024), (9 * 1024 * 1024, 256 * 1024)] {
            let cache = NearCache::new(room);
            cache.set_live(true);
            for number in 0..2_000 {
                keep(&cache, &format!("key {}", number % 700), number * 7_919 % largest);
                assert!(bytes(&cache) <= room);
            }
            assert!(bytes(&cache) > room / 2, "and the room is used");
            for number in 0..700 {
                cache.evict(&format!("key {number}"));
            }
            assert_eq!(bytes(&cache), 0);
            keep(&cache, "key", 100);
            cache.set_live(false);
            assert_eq!(bytes(&cache), 0);
        }
    }
}
