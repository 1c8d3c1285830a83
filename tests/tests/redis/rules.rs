//! The conformance suite, and what it cannot see.

use std::sync::Arc;

use cloakroom::{
    clock::{Clock, FakeClock},
    conformance,
    store::{Commit, Cursor, Draft, OwnerIndex, OwnerKey, Store},
};
use cloakroom_tests::redis::RedisServer;

use super::{HOUR, builder, create, draft, key, store, text, with_clock};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_redis_store_conforms_with_and_without_near_cache() {
    let server = RedisServer::start();
    for near_cache in [false, true] {
        let new = || {
            let clock = Arc::new(FakeClock::default());
            let store = builder(&server.url()).clock(clock.clone()).near_cache(near_cache);
            (store.build().unwrap(), clock)
        };
        let (store, clock) = new();
        let rules = conformance::check(Arc::new(store), &*clock).await;
        let (store, clock) = new();
        let boxed: Box<dyn Store> = Box::new(store);
        assert_eq!(conformance::check(Arc::new(boxed), &*clock).await, rules);
        let (store, clock) = new();
        let shared: Arc<dyn Store> = Arc::new(store);
        assert_eq!(conformance::check(shared, &*clock).await, rules);
    }
    assert_eq!(without_ttl(&server), 0);
}

/// How many keys would never go.
fn without_ttl(server: &RedisServer) -> usize {
    let count = "local n = 0 \
                 for _, key in ipairs(redis.call('KEYS', '*')) do \
                   if redis.call('PTTL', key) < 0 then n = n + 1 end \
                 end \
                 return n";
    server.cli(&["EVAL", count, "0"]).parse().unwrap()
}

#[tokio::test]
async fn a_session_that_ends_leaves_the_index_of_its_owner() {
    let server = RedisServer::start();
    let store = store(&server.url());
    let owner = OwnerKey::of("user-42");
    let entries = || {
        let sets = ["", ":names"].map(|end| format!("session:owner:{{{owner}}}{end}"));
        sets.each_ref().map(|set| server.cli(&["ZCARD", set]))
    };
    let tombstone = cloakroom::clock::Clock::now(&cloakroom::clock::SystemClock) + HOUR;
    let endings = |number| {
        let (from, to) = (key(number), key(number + 1));
        [
            Commit::destroy(from, tombstone),
            Commit::rotate(from, None, to, draft("goodbye"), tombstone),
        ]
    };
    for (at, number) in [(0, 1), (1, 3)] {
        let mut record = draft("values");
        record.owner = Some(owner);
        store.commit(Commit::create(key(number), record)).await.unwrap();
        assert_eq!(entries(), ["1", "1"]);
        store.commit(endings(number)[at].clone()).await.unwrap();
        let waited = std::time::Instant::now();
        while entries() != ["0", "0"] {
            assert!(waited.elapsed() < std::time::Duration::from_secs(5), "it is still there");
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_write_removes_some_expired_entries_of_the_index() {
    let server = RedisServer::start();
    let (store, clock) = with_clock(&server);
    let owner = OwnerKey::of("user-42");
    let write = async |number| {
        let mut record = Draft::new("values", Clock::now(&*clock), HOUR);
        record.owner = Some(owner);
        store.commit(Commit::create(key(number), record)).await.unwrap();
    };
    for number in 0..250 {
        write(number).await;
    }
    clock.advance(3 * HOUR);
    for (number, left) in [(1_000, 151), (1_001, 52), (1_002, 3), (1_003, 4)] {
        server.reset_stats();
        write(number).await;
        assert!(server.calls().get("zrem").is_none_or(|calls| *calls <= 2), "{:?}", server.calls());
        let sets = ["", ":names"].map(|end| format!("session:owner:{{{owner}}}{end}"));
        let entries = sets.each_ref().map(|set| server.cli(&["ZCARD", set]));
        assert_eq!(entries, [left.to_string(), left.to_string()]);
    }
}

#[tokio::test]
async fn a_long_list_of_an_owner_comes_in_pages() {
    const LONG: usize = 300;
    let server = RedisServer::start();
    let store = store(&server.url());
    let owner = OwnerKey::of("user-42");
    for number in 0..LONG as u64 {
        let mut record = draft("values");
        record.owner = Some(owner);
        store.commit(Commit::create(key(number), record)).await.unwrap();
    }
    let (mut sizes, mut keys) = (Vec::new(), std::collections::HashSet::new());
    let mut next = Some(Cursor::default());
    while let Some(from) = next {
        let page = store.keys_of(&owner, from, 20).await.unwrap();
        sizes.push(page.keys.len());
        keys.extend(page.keys);
        next = page.next;
    }
    assert_eq!(keys.len(), LONG);
    assert!(sizes.iter().all(|size| *size < 60), "{sizes:?}");
}

#[tokio::test]
async fn no_key_is_without_a_time_to_live() {
    let server = RedisServer::start();
    let (store, clock) = with_clock(&server);
    let now = || cloakroom::clock::Clock::now(&*clock);
    for number in 0..10_000 {
        let mut record = draft("x");
        record.expires = now() + HOUR;
        record.owner = Some(cloakroom::store::OwnerKey::of(&(number % 500).to_string()));
        let create = Commit::create(key(number), record.clone());
        let cloakroom::store::Outcome::Done(expected) = store.commit(create).await.unwrap() else {
            panic!("the key was free")
        };
        let tombstone = now() + HOUR;
        let (key, to) = (key(number), key(1_000_000 + number));
        let next = match number % 4 {
            0 => Commit::replace(key, expected, record),
            1 => Commit::touch(key, expected, now() + 2 * HOUR),
            2 => Commit::rotate(key, None, to, record, tombstone),
            _ => Commit::destroy(key, tombstone),
        };
        store.commit(next).await.unwrap();
    }
    assert_eq!(without_ttl(&server), 0);
    server.cli(&["SET", "other", "without"]);
    assert_eq!(without_ttl(&server), 1, "the count counts");
}

#[tokio::test]
async fn what_others_put_under_our_keys_is_an_absence_and_stays() {
    let server = RedisServer::start();
    let store = store(&server.url());
    create(&store, 1, "ours").await;
    let name = server.cli(&["KEYS", "session:{*"]);
    let writes: [&[&str]; 3] = [
        &["SET", &name, "written by hand"],
        &["SET", &name, "CR1R 000garbage"],
        &[
            "EVAL",
            "redis.call('DEL', KEYS[1]); return redis.call('RPUSH', KEYS[1], 'a')",
            "1",
            &name,
        ],
    ];
    for write in writes {
        server.cli(write);
        let before = server.cli(&["TYPE", &name]);
        assert_eq!(text(&store, 1).await, None, "{write:?}");
        assert_eq!(store.load(&key(1)).await.unwrap(), None, "{write:?}");
        let again = Commit::create(key(1), draft("x"));
        assert_eq!(store.commit(again).await.unwrap(), cloakroom::store::Outcome::Exists);
        assert_eq!(server.cli(&["TYPE", &name]), before);
    }
}

#[tokio::test]
async fn applications_share_a_server_by_prefix() {
    let server = RedisServer::start();
    let one = builder(&server.url()).key_prefix("one:").build().unwrap();
    let other = builder(&server.url()).key_prefix("other:").build().unwrap();
    create(&one, 1, "one's").await;
    assert_eq!(text(&other, 1).await, None);
    assert!(builder(&server.url()).key_prefix("{x}").build().is_err());
}

// The history's simplest half: one counter, sixteen clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixteen_clients_count_without_loss() {
    let server = RedisServer::start();
    let store = store(&server.url());
    create(&store, 1, "0").await;
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let store = super::store(&server.url());
            tokio::spawn(async move {
                for _ in 0..25 {
                    count_up(&store).await;
                }
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(text(&store, 1).await.as_deref(), Some("400"));
}

async fn count_up(store: &cloakroom::redis::RedisStore) {
    use cloakroom::store::{Entry, Outcome};
    loop {
        let Some(Entry::Live(stored)) = store.load(&key(1)).await.unwrap() else { panic!("gone") };
        let count: u64 = std::str::from_utf8(&stored.bytes).unwrap().parse().unwrap();
        let record = draft((count + 1).to_string());
        let replace = Commit::replace(key(1), stored.revision, record);
        if let Outcome::Done(_) = store.commit(replace).await.unwrap() {
            return;
        }
    }
}
