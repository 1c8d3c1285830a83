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
//! Memory is bounded in bytes. When there is no room, the records that were not used for the longest
//! time leave.
//!
//! Rules 4 and 5 are the bound: what another server changes is seen here as soon as its push
//! arrives, and [`LONGEST`] later at the latest. A record from the cache may have an old revision.
//! This endangers no write, because every commit compares with what is in Redis.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cloakroom::{clock::Timestamp, store::Found};
use redis::{PushInfo, PushKind, Value};

use crate::wire::Parsed;

/// No record is served from memory for longer.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);
/// So many bytes unless set: 64 MiB.
pub(crate) const DEFAULT_BYTES: usize = 64 * 1024 * 1024;
/// A shard has at least so many bytes, so that a large record finds room in one, and a small cache is
/// one shard that counts exactly.
const MIN_SHARD: usize = 4 * 1024 * 1024;
const MAX_SHARDS: usize = 64;
/// The bytes of an entry besides its key and its record: the value's header and the entries of both
/// maps.
const OVERHEAD: usize = 512;

#[derive(Debug)]
pub(crate) struct NearCache {
    shards: Box<[Mutex<Shard>]>,
    /// How many bytes a shard may have.
    room: usize,
    /// Whether the connection that pushes arrive over stands.
    live: AtomicBool,
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
}

#[derive(Debug)]
struct Kept {
    parsed: Parsed,
    at: Instant,
    /// When it was last used, in uses of the shard.
    used: u64,
}

impl Shard {
    /// Returns the record under `key`, which counts as a use.
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

/// Returns how many bytes of memory a record takes, or a little more.
fn size(key: &str, parsed: &Parsed) -> usize {
    let record = match &parsed.found {
        Found::Live(stored) => stored.record.len(),
        Found::Tombstone { .. } => 0,
    };
    OVERHEAD + key.len() + record
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
    /// Makes a cache that takes up to `bytes` of memory.
    pub(crate) fn new(bytes: usize) -> Self {
        let shards = (bytes / MIN_SHARD).clamp(1, MAX_SHARDS);
        Self {
            shards: std::iter::repeat_with(Mutex::default).take(shards).collect(),
            room: bytes / shards,
            live: AtomicBool::new(false),
            hits: AtomicU64::new(0),
        }
    }

    /// Returns the record under `key` if it may be served at `now`.
    pub(crate) fn look_up(&self, key: &str, now: Timestamp) -> Answer {
        let mut shard = self.shard(key);
        if self.live.load(Ordering::SeqCst)
            && let Some(Kept { parsed, at, .. }) = shard.use_record(key)
            && at.elapsed() < LONGEST
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
        if shard.records.get(key).is_some_and(|kept| kept.parsed.found != parsed.found) {
            shard.remove(key);
            shard.evictions += 1;
            return;
        }
        shard.insert(key, parsed, at, self.room);
    }

    pub(crate) fn evict(&self, key: &str) {
        let mut shard = self.shard(key);
        shard.evictions += 1;
        shard.remove(key);
    }

    /// Notes that the connection stands or does not. Either way what was kept until now goes.
    pub(crate) fn set_live(&self, live: bool) {
        self.live.store(live, Ordering::SeqCst);
        self.clear();
    }

    fn clear(&self) {
        for shard in &self.shards {
            let mut shard = lock(shard);
            *shard = Shard { evictions: shard.evictions + 1, ..Shard::default() };
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
        lock(&self.shards[usize::try_from(hash % self.shards.len() as u64).unwrap_or_default()])
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
        let cache = NearCache::new(DEFAULT_BYTES);
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
        let cache = NearCache::new(DEFAULT_BYTES);
        cache.set_live(true);
        let asked = ask(&cache, 0).unwrap();
        cache.evict("key");
        cache.keep("key", record(1_000), asked, Instant::now());
        let asked = ask(&cache, 0).expect("not kept");
        cache.set_live(false);
        cache.keep("key", record(1_000), asked, Instant::now());
        assert!(ask(&cache, 0).is_some(), "nor without a connection");
    }

    /// A record of so many bytes.
    fn sized(bytes: usize) -> Parsed {
        let draft = Draft::new(vec![b'x'; bytes], at(0), Duration::from_secs(1));
        wire::parse(&wire::record(&draft, Revision(1)).into()).unwrap()
    }

    fn keep(cache: &NearCache, key: &str, bytes: usize) {
        if let Answer::Ask(asked) = cache.look_up(key, at(0)) {
            cache.keep(key, sized(bytes), asked, Instant::now());
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
        assert!(matches!(cache.look_up("a", at(0)), Answer::Known(_)));
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
