//! A cluster: slots that move, masters that die.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cloakroom::{
    clock::{Clock, FakeClock, SystemClock},
    conformance,
    redis::{RedisStore, RedisStoreBuilder, Servers},
    store::{Commit, Cursor, EndingFeed, Entry, Outcome, OwnerIndex, OwnerKey, RecordKey, Store},
};
use cloakroom_tests::{
    proxy::{Fault, FaultProxy},
    redis::{RedisCluster, RedisServer},
};

use tokio::time::timeout;

use super::{HOUR, draft};

fn builder(cluster: &RedisCluster) -> RedisStoreBuilder {
    RedisStore::builder(Servers::cluster(cluster.addresses()).unwrap())
}

fn key(tag: u16, number: u8) -> RecordKey {
    let mut bytes = [number; 32];
    bytes[..2].copy_from_slice(&tag.to_be_bytes());
    RecordKey::from_bytes(bytes)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_conforms_and_its_slots_and_masters_may_move() {
    // One cluster for all of it: starting one takes seconds.
    let mut cluster = RedisCluster::start();
    let clock = Arc::new(FakeClock::default());
    let store = builder(&cluster).clock(clock.clone()).build().unwrap();
    conformance::check(Arc::new(store), &*clock).await;
    owners_are_found_across_slots(&cluster).await;
    replicas_are_waited_for(&cluster).await;
    endings_of_another_process_are_pushed(&cluster).await;
    a_command_whose_answer_was_lost_is_done_once(&mut cluster).await;
    a_slot_that_moves_under_load_loses_nothing(&cluster).await;
    a_master_that_falls_silent_is_replaced(&mut cluster).await;
    a_master_that_dies_is_replaced(&mut cluster).await;
}

async fn owners_are_found_across_slots(cluster: &RedisCluster) {
    let store = builder(cluster).build().unwrap();
    let owner = OwnerKey::of("user-42");
    let mut keys: Vec<_> = (0..30).map(|n| key(n * 977, 1)).collect();
    for key in &keys {
        let mut record = draft("values");
        record.owner = Some(owner);
        store.commit(Commit::create(*key, record)).await.unwrap();
    }
    let mut found = store.keys_of(&owner, Cursor::default(), 100).await.unwrap().keys;
    found.sort();
    keys.sort();
    assert_eq!(found, keys);
    for key in keys {
        assert_eq!(store.keys_with_tag(&owner, key.tag()).await.unwrap(), [key]);
    }
}

async fn replicas_are_waited_for(cluster: &RedisCluster) {
    let store = builder(cluster).wait_replicas(1).build().unwrap();
    for tag in [1, 20_000, 40_000, 60_000] {
        let (from, to) = (key(tag, 2), key(tag, 3));
        store.commit(Commit::create(from, draft("values"))).await.unwrap();
        let tombstone = SystemClock.now() + HOUR;
        let rotate = Commit::rotate(from, None, to, draft("new"), tombstone);
        assert!(matches!(store.commit(rotate).await.unwrap(), Outcome::Done(_)));
        let destroy = Commit::destroy(to, tombstone);
        assert!(matches!(store.commit(destroy).await.unwrap(), Outcome::Done(_)));
    }
    let nobody = builder(cluster).wait_replicas(2).build().unwrap();
    let lonely = key(1, 4);
    nobody.commit(Commit::create(lonely, draft("values"))).await.unwrap();
    let destroy = Commit::destroy(lonely, SystemClock.now() + HOUR);
    assert!(nobody.commit(destroy).await.unwrap_err().is_unavailable());
}

async fn endings_of_another_process_are_pushed(cluster: &RedisCluster) {
    let [watching, other] = [(); 2].map(|()| builder(cluster).build().unwrap());
    for (tag, moves) in [(1, false), (20_000, false), (40_000, true), (60_000, false)] {
        let key = key(tag, 5);
        other.commit(Commit::create(key, draft("values"))).await.unwrap();
        let mut watch = watching.watch(&key);
        if moves {
            let slot = cluster_slot(tag);
            let to = (0..6).find(|node| {
                let is_master = |slot| cluster.master_of(slot) == *node;
                !is_master(slot) && (0..16_384).step_by(257).any(is_master)
            });
            cluster.migrate(slot, to.unwrap());
        }
        let early = timeout(Duration::from_secs(1), watch.woken()).await;
        assert!(early.is_err(), "{tag}: the session goes on");
        other.commit(Commit::destroy(key, SystemClock.now() + HOUR)).await.unwrap();
        let woken = timeout(Duration::from_secs(1), watch.woken()).await;
        assert!(woken.is_ok(), "{tag}: not woken");
    }
}

/// Each node is announced to clients by the address of a proxy.
async fn a_command_whose_answer_was_lost_is_done_once(cluster: &mut RedisCluster) {
    let tag = 0x51de;
    let master = cluster.master_of(cluster_slot(tag));
    let mut proxies = Vec::new();
    for node in cluster.nodes() {
        let proxy = FaultProxy::start(node.address()).await;
        let port = proxy.address().port().to_string();
        node.cli(&["CONFIG", "SET", "cluster-announce-port", &port]);
        proxies.push((proxy, port));
    }
    let addresses = proxies.iter().map(|(proxy, _)| proxy.address().to_string());
    let servers = Servers::cluster(addresses).unwrap();
    let through = RedisStore::builder(servers)
        .connect_timeout(Duration::from_secs(5))
        .command_timeout(Duration::from_secs(5));
    let through = through.build().unwrap();
    let nodes = cluster.nodes();
    wait_for_announcement(nodes, |slots| proxies.iter().all(|(_, port)| slots.contains(port)));
    // The slot's master alone, so that this connection does not lead through its proxy.
    let direct = super::store(&nodes[master].url());
    let proxy = &proxies[master].0;
    for (number, gap) in [(30, 0), (31, 1), (32, 4), (33, 5)] {
        let key = key(tag, number);
        let done = async |commit| match direct.commit(commit).await.unwrap() {
            Outcome::Done(revision) => revision,
            other => panic!("{other:?}"),
        };
        let expected = done(Commit::create(key, draft("0"))).await;
        let replace = Commit::replace(key, expected, draft("0"));
        let mut expected = done(replace).await;
        assert!(through.load(&key).await.unwrap().is_some(), "it is connected");

        let before = proxy.swallowed();
        proxy.set(Fault::BlackHole);
        let replace = Commit::replace(key, expected, draft("own"));
        let pending = tokio::spawn({
            let through = through.clone();
            async move { through.commit(replace).await }
        });
        while proxy.swallowed() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        for _ in 0..gap {
            if let Some(Entry::Live(stored)) = direct.load(&key).await.unwrap() {
                expected = stored.revision;
            }
            done(Commit::replace(key, expected, draft("other"))).await;
        }
        proxy.start_over();
        let outcome = pending.await.unwrap();
        if gap > 4 {
            let error = outcome.unwrap_err();
            assert!(error.to_string().contains("the outcome is unknown"), "{error:?}");
        } else {
            assert!(matches!(outcome, Ok(Outcome::Done(_))), "gap {gap}: {outcome:?}");
        }
    }
    // A conflict of what was sent once is one, in a cluster too, however old.
    let key = key(tag, 34);
    let create = Commit::create(key, draft("0"));
    let Outcome::Done(first) = direct.commit(create).await.unwrap() else { panic!("taken") };
    let mut expected = first;
    for _ in 0..20 {
        let replace = Commit::replace(key, expected, draft("other"));
        let Outcome::Done(next) = direct.commit(replace).await.unwrap() else { panic!("{key:?}") };
        expected = next;
    }
    let late = Commit::replace(key, first, draft("late"));
    assert!(matches!(through.commit(late).await.unwrap(), Outcome::Conflict(_)));

    for node in cluster.nodes() {
        node.cli(&["CONFIG", "SET", "cluster-announce-port", "0"]);
    }
    let ports: Vec<_> = cluster.nodes().iter().map(|node| node.address().port()).collect();
    wait_for_announcement(cluster.nodes(), |slots| {
        ports.iter().all(|port| slots.contains(&port.to_string()))
    });
}

fn wait_for_announcement(nodes: &[RedisServer], is_announced: impl Fn(&str) -> bool) {
    let started = Instant::now();
    while !nodes.iter().all(|node| is_announced(&node.cli(&["CLUSTER", "SLOTS"]))) {
        assert!(started.elapsed() < Duration::from_secs(20), "the nodes do not agree");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Counts up and rotates now and then until `stop` is set. Returns the last key and the count,
/// and how many errors there were.
async fn count(store: RedisStore, tag: u16, stop: Arc<AtomicBool>) -> (RecordKey, u64, u64) {
    let (mut here, mut counted, mut errors) = (key(tag, 10), 0_u64, 0);
    store.commit(Commit::create(here, draft("0"))).await.unwrap();
    while !stop.load(Ordering::SeqCst) {
        let stored = match store.load(&here).await {
            Ok(Some(Entry::Live(stored))) => stored,
            Ok(other) => panic!("after {counted}: {other:?}"),
            Err(error) => {
                assert!(error.is_unavailable(), "{error:?}");
                errors += 1;
                continue;
            }
        };
        let record = draft((counted + 1).to_string());
        let (expected, tombstone) = (stored.revision, SystemClock.now() + HOUR);
        let to = key(tag, 11 + u8::try_from(counted % 200).unwrap());
        let rotates = counted % 10 == 9 && counted < 200;
        let commit = if rotates {
            Commit::rotate(here, Some(expected), to, record, tombstone)
        } else {
            Commit::replace(here, expected, record)
        };
        match store.commit(commit).await {
            Ok(Outcome::Done(_)) => {
                counted += 1;
                if rotates {
                    here = to;
                }
            }
            Ok(other) => panic!("after {counted}: {other:?}"),
            Err(error) => panic!("after {counted}: {error:?}"),
        }
    }
    (here, counted, errors)
}

async fn a_slot_that_moves_under_load_loses_nothing(cluster: &RedisCluster) {
    let store = builder(cluster).build().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let tag = 0x3f9a_u16;
    let slot: u16 = cluster_slot(tag);
    let client = tokio::spawn(count(store.clone(), tag, stop.clone()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    for _ in 0..4 {
        let to = (0..6).find(|node| {
            let is_master =
                |node: usize| (0..16_384).step_by(257).any(|slot| cluster.master_of(slot) == node);
            *node != cluster.master_of(slot) && is_master(*node)
        });
        cluster.migrate(slot, to.unwrap());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    stop.store(true, Ordering::SeqCst);
    let (at, counted, _) = client.await.unwrap();
    let Some(Entry::Live(stored)) = store.load(&at).await.unwrap() else { panic!("lost") };
    assert_eq!(stored.bytes, counted.to_string());
}

fn cluster_slot(tag: u16) -> u16 {
    let mut crc = 0_u16;
    for byte in format!("{tag:04x}").bytes() {
        crc ^= u16::from(byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
    }
    crc % 16_384
}

async fn a_master_that_dies_is_replaced(cluster: &mut RedisCluster) {
    let tag = 7;
    survives(cluster, tag, RedisServer::kill).await;
}

/// As after a power failure: its connections stay open, and no reply arrives.
async fn a_master_that_falls_silent_is_replaced(cluster: &mut RedisCluster) {
    let tag = 0x2000;
    let master = cluster.master_of(cluster_slot(tag));
    survives(cluster, tag, |master| master.pause()).await;
    cluster.nodes()[master].resume();
    cluster.wait_until_it_agrees();
}

/// A session is found again after the master of its slot has failed, and its end still wakes its watch.
async fn survives(cluster: &mut RedisCluster, tag: u16, fail: impl FnOnce(&mut RedisServer)) {
    let store = builder(cluster).build().unwrap();
    store.commit(Commit::create(key(tag, 20), draft("values"))).await.unwrap();
    // Replication takes a moment and promises nothing.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let mut watch = builder(cluster).build().unwrap().watch(&key(tag, 20));
    let master = cluster.master_of(cluster_slot(tag));
    fail(&mut cluster.nodes()[master]);
    let failed = Instant::now();
    let found = loop {
        match store.load(&key(tag, 20)).await {
            Ok(found) => break found,
            Err(error) => assert!(error.is_unavailable(), "{error:?}"),
        }
        assert!(failed.elapsed() < Duration::from_secs(30), "no replica took over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert!(matches!(found, Some(Entry::Live(_))), "{found:?}");
    store.commit(Commit::destroy(key(tag, 20), SystemClock.now() + HOUR)).await.unwrap();
    let woken = timeout(Duration::from_secs(20), watch.woken()).await;
    assert!(woken.is_ok(), "the end of a session on a new master");
}
