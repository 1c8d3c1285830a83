//! Records that were read, in this process's memory until Redis says that they changed.
//!
//! Every load of the store goes through the cache. Redis pushes the name of every key of ours that
//! anybody changes over a connection for that alone (`CLIENT TRACKING … BCAST`). The rules that keep
//! a changed record from being served:
//! 1. An answer is kept only if nothing of its shard was evicted since the question was sent,
//!    because a push may overtake the answer.
//! 2. An answer is kept only if every other answer for its key that came since the question was sent
//!    is the same. Of two that differ one is stale, and nothing says which. Neither is kept, so no
//!    reader of this process sees a state again that came before one that it has seen.
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

use cloakroom_store::{Entry, clock::Timestamp};
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
    /// The keys that Redis is being asked for.
    asked: HashMap<Arc<str>, Answers>,
    /// How many answers have come.
    answers: u64,
}

/// What Redis has said of one key since a question that still waits was sent.
#[derive(Debug, Default)]
struct Answers {
    /// How many questions wait.
    waiting: usize,
    last: Option<Entry>,
    /// Which answer of the shard the last one was, or 0 before the first.
    last_number: u64,
    /// Which answer was the last one that differs from `last`.
    other_number: u64,
}

impl Answers {
    /// Notes the answer of this number to a question that was sent after so many answers. Returns
    /// `true` if all answers since then are the same.
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
        Entry::Live(stored) => stored.bytes.len(),
        Entry::Tombstone { .. } => 0,
    };
    OVERHEAD + key.len() + record
}

/// What the cache says to a question.
pub(crate) enum Answer<'a> {
    Known(Parsed),
    Ask(Question<'a>),
}

/// A question to Redis that waits for its answer. It may be dropped without one.
pub(crate) struct Question<'a> {
    cache: &'a NearCache,
    key: Arc<str>,
    sent: Instant,
    sent_after: u64,
    evictions: u64,
}

impl Question<'_> {
    /// Keeps the answer if it is a record, unless it may be stale already.
    pub(crate) fn answered(self, parsed: Option<&Parsed>) {
        let mut shard = self.cache.shard(&self.key);
        let is_current = shard.evictions == self.evictions && self.cache.is_live();
        let found = parsed.map(|parsed| &parsed.found);
        shard.answers += 1;
        let number = shard.answers;
        let answers = shard.asked.get_mut(&self.key);
        let agree = answers.is_some_and(|it| it.add(found, number, self.sent_after));
        match parsed {
            Some(parsed) if is_current && agree && matches!(parsed.found, Entry::Live(_)) => {
                shard.insert(&self.key, parsed.clone(), self.sent, self.cache.room);
            }
            // What is kept may be older than this answer, which a reader sees now.
            _ if shard.records.get(&self.key).is_some_and(|it| Some(&it.parsed.found) != found) => {
                shard.remove(&self.key);
            }
            _ => (),
        }
    }
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut shard = self.cache.shard(&self.key);
        if let Some(answers) = shard.asked.get_mut(&self.key) {
            answers.waiting -= 1;
            if answers.waiting == 0 {
                shard.asked.remove(&self.key);
            }
        }
    }
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
    pub(crate) fn look_up(&self, key: &str, now: Timestamp) -> Answer<'_> {
        let mut shard = self.shard(key);
        if self.is_live()
            && let Some(Kept { parsed, at, .. }) = shard.use_record(key)
            && at.elapsed() < LONGEST
            && parsed.found.expires() > now
        {
            self.hits.fetch_add(1, Ordering::Relaxed);
            return Answer::Known(parsed.clone());
        }
        let key: Arc<str> = key.into();
        shard.asked.entry(key.clone()).or_default().waiting += 1;
        let Shard { answers: sent_after, evictions, .. } = *shard;
        Answer::Ask(Question { cache: self, key, sent: Instant::now(), sent_after, evictions })
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
            shard.records.clear();
            shard.by_use.clear();
            shard.bytes = 0;
            shard.evictions += 1;
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

/// Every critical section leaves a whole shard.
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

    /// A record that lives from 0 to `expires`.
    fn record(expires: u64) -> Parsed {
        let draft = Draft::new("values", at(0), Duration::from_millis(expires));
        wire::parse(&wire::record(&draft, Revision(1)).into()).unwrap()
    }

    fn ask(cache: &NearCache, now: u64) -> Option<Question<'_>> {
        match cache.look_up("key", at(now)) {
            Answer::Known(_) => None,
            Answer::Ask(question) => Some(question),
        }
    }

    fn live_cache() -> NearCache {
        let cache = NearCache::new(DEFAULT_BYTES);
        cache.set_live(true);
        cache
    }

    #[test]
    fn a_record_is_served_until_its_deadline_and_then_asked_for_again() {
        let cache = live_cache();
        ask(&cache, 0).unwrap().answered(Some(&record(1_000)));
        assert!(ask(&cache, 999).is_none());
        assert_eq!(cache.hits(), 1);
        let question = ask(&cache, 1_000).expect("Redis is asked");
        assert_eq!(cache.hits(), 1, "that was no hit");

        // Another server moved the deadline, and its push has not arrived.
        question.answered(Some(&record(2_000)));
        assert!(ask(&cache, 1_999).is_none());
    }

    #[test]
    fn an_answer_that_an_eviction_overtook_is_not_kept() {
        let cache = live_cache();
        let question = ask(&cache, 0).unwrap();
        cache.evict("key");
        question.answered(Some(&record(1_000)));
        let question = ask(&cache, 0).expect("not kept");
        cache.set_live(false);
        question.answered(Some(&record(1_000)));
        assert!(ask(&cache, 0).is_some(), "nor without a connection");
    }

    /// A push evicts what the first question asks for. The second is sent later and answered from
    /// before the next change, which the first one has seen.
    #[test]
    fn what_a_reader_has_seen_is_not_undone_by_an_older_answer() {
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
                    first.answered(newer.as_ref());
                    second.answered(Some(&older));
                } else {
                    second.answered(Some(&older));
                    assert!(ask(&cache, 0).is_none());
                    first.answered(newer.as_ref());
                }
                let question = ask(&cache, 0).expect("the older answer is not served");
                question.answered(Some(&record(2_000)));
                assert!(ask(&cache, 0).is_none());
            }
        }
    }

    #[test]
    fn a_record_is_kept_although_it_is_asked_for_all_the_time() {
        let cache = live_cache();
        let first = ask(&cache, 0).unwrap();
        cache.evict("key");
        let second = ask(&cache, 0).unwrap();
        first.answered(Some(&record(1_000)));
        let third = ask(&cache, 0).unwrap();
        second.answered(Some(&record(2_000)));
        let fourth = ask(&cache, 0).expect("the first two differ");
        third.answered(Some(&record(2_000)));
        fourth.answered(Some(&record(2_000)));
        assert!(ask(&cache, 0).is_none());
        assert!(cache.shard("key").asked.is_empty());
    }

    #[test]
    fn a_question_that_is_dropped_leaves_nothing() {
        let cache = live_cache();
        drop(ask(&cache, 0));
        assert!(cache.shard("key").asked.is_empty());
    }

    /// A record of so many bytes.
    fn sized(bytes: usize) -> Parsed {
        let draft = Draft::new(vec![b'x'; bytes], at(0), Duration::from_secs(1));
        wire::parse(&wire::record(&draft, Revision(1)).into()).unwrap()
    }

    fn keep(cache: &NearCache, key: &str, bytes: usize) {
        if let Answer::Ask(question) = cache.look_up(key, at(0)) {
            question.answered(Some(&sized(bytes)));
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
