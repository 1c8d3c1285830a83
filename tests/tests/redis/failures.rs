//! Servers that die, come back, are full, forget, or refuse.

use std::time::{Duration, Instant};

use cloakroom::{
    clock::{Clock, SystemClock},
    store::{Commit, Cursor, Outcome, OwnerIndex, OwnerKey, Scan, Store},
};
use cloakroom_tests::{
    proxy::{Fault, FaultProxy},
    redis::{RedisServer, free_port},
};

use super::{HOUR, builder, create, draft, key, store, text};

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_at_once() {
    let store = store(&format!("redis://127.0.0.1:{}", free_port()));
    for _ in 0..20 {
        let started = Instant::now();
        let error = store.load(&key(1)).await.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        assert!(started.elapsed() < Duration::from_millis(1_100));
    }
}

#[tokio::test]
async fn everyone_is_signed_in_after_the_server_was_restarted() {
    let mut server = RedisServer::start_durable();
    let store = store(&server.url());
    for number in 0..20 {
        create(&store, number, "values").await;
    }
    server.kill();
    assert!(store.load(&key(1)).await.unwrap_err().is_unavailable());
    server.restart();
    let back = Instant::now();
    while store.load(&key(1)).await.is_err() {
        assert!(back.elapsed() < Duration::from_secs(2), "it takes too long to reconnect");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for number in 0..20 {
        assert_eq!(text(&store, number).await.as_deref(), Some("values"));
    }
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_sent_again() {
    let server = RedisServer::start();
    let store = store(&server.url());
    let mut expected = create(&store, 1, "0").await;
    for n in 0..5 {
        server.cli(&["SCRIPT", "FLUSH"]);
        assert!(text(&store, 1).await.is_some());
        server.cli(&["SCRIPT", "FLUSH"]);
        let replace = Commit::replace(key(1), expected, draft(n.to_string()));
        let Outcome::Done(next) = store.commit(replace).await.unwrap() else { panic!("conflict") };
        expected = next;
    }
}

#[tokio::test]
async fn a_full_server_refuses_writes_and_allows_sign_outs() {
    let server = RedisServer::start();
    let store = store(&server.url());
    let expected = create(&store, 1, "values").await;
    create(&store, 2, "values").await;
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    let replace = Commit::replace(key(1), expected, draft("more"));
    let error = store.commit(replace).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert_eq!(text(&store, 1).await.as_deref(), Some("values"), "the old session is there");
    let destroy = Commit::destroy(key(2), SystemClock.now() + HOUR);
    assert!(matches!(store.commit(destroy).await.unwrap(), Outcome::Done(_)));
    assert_eq!(text(&store, 2).await, None);
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let replace = Commit::replace(key(1), expected, draft("more"));
    assert!(matches!(store.commit(replace).await.unwrap(), Outcome::Done(_)));
}

#[tokio::test]
async fn a_replica_refuses_writes_as_something_that_passes() {
    let server = RedisServer::start();
    let store = store(&server.url());
    create(&store, 1, "values").await;
    server.cli(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    server.cli(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
    let create_late = Commit::create(key(2), draft("x"));
    let error = store.commit(create_late.clone()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    server.cli(&["REPLICAOF", "NO", "ONE"]);
    assert!(matches!(store.commit(create_late).await.unwrap(), Outcome::Done(_)));
    assert_eq!(text(&store, 1).await.as_deref(), Some("values"));
}

#[tokio::test]
async fn a_wrong_or_missing_password_is_an_error_that_shows_none() {
    let server = RedisServer::start_with(&["--protected-mode", "no"]);
    server.cli(&["CONFIG", "SET", "requirepass", "right-one"]);
    for url in [
        format!("redis://{}", server.address()),
        format!("redis://:hunter2@{}", server.address()),
        format!("redis://nobody:hunter2@{}", server.address()),
    ] {
        let error = store(&url).load(&key(1)).await.unwrap_err();
        let shown = format!("{error:?} {error}");
        assert!(!shown.contains("hunter2") && !shown.contains("right-one"), "{shown}");
    }
    let right = store(&format!("redis://:right-one@{}", server.address()));
    assert_eq!(right.load(&key(1)).await.unwrap(), None);
}

#[tokio::test]
async fn a_busy_server_is_an_error_that_passes() {
    let server = RedisServer::start_with(&["--lua-time-limit", "50"]);
    let store = builder(&server.url()).build().unwrap();
    create(&store, 1, "values").await;
    let port = server.address().port().to_string();
    let mut endless = std::process::Command::new("redis-cli")
        .args(["-p", &port, "EVAL", "while true do end", "0"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let error = store.load(&key(1)).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    server.cli(&["SCRIPT", "KILL"]);
    endless.wait().unwrap();
    assert_eq!(text(&store, 1).await.as_deref(), Some("values"));
}

#[tokio::test]
async fn an_evicted_session_is_an_absence() {
    let server = RedisServer::start();
    let store = store(&server.url());
    let expected = create(&store, 1, "values").await;
    server.cli(&["FLUSHALL"]);
    assert_eq!(text(&store, 1).await, None);
    let late = Commit::replace(key(1), expected, draft("late"));
    assert_eq!(store.commit(late).await.unwrap(), Outcome::Gone, "and nothing brings it back");
}

#[tokio::test]
async fn what_waits_for_replicas_fails_where_there_are_none() {
    let server = RedisServer::start();
    let store = builder(&server.url()).wait_replicas(1).build().unwrap();
    create(&store, 1, "values").await;
    let destroy = Commit::destroy(key(1), SystemClock.now() + HOUR);
    let error = store.commit(destroy).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert_eq!(text(&store, 1).await, None, "the master has it");

    let replica = replica_of(&server, server.address().port()).await;
    create(&store, 2, "values").await;
    let destroy = Commit::destroy(key(2), SystemClock.now() + HOUR);
    assert!(matches!(store.commit(destroy).await.unwrap(), Outcome::Done(_)));
    let shown = replica.cli(&["KEYS", "*"]);
    let tombstones = shown.lines().filter(|key| replica.cli(&["GET", key]).starts_with("CR1T"));
    assert_eq!(tombstones.count(), 2, "the replica had it when it was acknowledged");
}

/// Returns a replica that has all writes of `master`, which it reaches at `port`.
async fn replica_of(master: &RedisServer, port: u16) -> RedisServer {
    let replica = RedisServer::start();
    replica.cli(&["REPLICAOF", "127.0.0.1", &port.to_string()]);
    // The master's word is not enough: a replica that still loads acknowledges nothing.
    while !master.cli(&["INFO", "replication"]).contains("state=online")
        || !replica.cli(&["INFO", "replication"]).contains("master_link_status:up")
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    replica
}

// A demoted server keeps the connections of its clients open.
#[tokio::test]
async fn a_logout_that_waits_for_replicas_leaves_a_demoted_master() {
    let server = RedisServer::start();
    let _replica = replica_of(&server, server.address().port()).await;
    let proxy = FaultProxy::start(server.address()).await;
    // The replica is another process, which may be slow on a busy machine.
    let store = builder(&proxy.url()).wait_replicas(1).command_timeout(Duration::from_secs(3));
    let store = store.build().unwrap();
    for number in [1, 2] {
        create(&store, number, "values").await;
    }
    let destroy = |number| Commit::destroy(key(number), SystemClock.now() + HOUR);
    assert!(matches!(store.commit(destroy(1)).await.unwrap(), Outcome::Done(_)));
    let before = proxy.connections();
    server.cli(&["CONFIG", "SET", "replica-serve-stale-data", "yes"]);
    server.cli(&["REPLICAOF", "127.0.0.1", &free_port().to_string()]);
    let error = store.commit(destroy(2)).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(proxy.connections() > before, "it did not connect again");
}

#[tokio::test]
async fn logouts_wait_for_slow_replicas_at_the_same_time() {
    let server = RedisServer::start();
    let slow = FaultProxy::start(server.address()).await;
    let _replica = replica_of(&server, slow.address().port()).await;
    // One after the other they would take 2.4 seconds.
    let store =
        builder(&server.url()).wait_replicas(1).command_timeout(Duration::from_millis(1_500));
    let store = store.build().unwrap();
    for number in 0..40 {
        create(&store, number, "values").await;
    }
    slow.set(Fault::Latency(Duration::from_millis(60)));
    let logouts = (0..40).map(|number| {
        let (store, until) = (store.clone(), SystemClock.now() + HOUR);
        tokio::spawn(async move { store.commit(Commit::destroy(key(number), until)).await })
    });
    for logout in logouts.collect::<Vec<_>>() {
        assert!(matches!(logout.await.unwrap(), Ok(Outcome::Done(_))));
    }
}

// The list in the documentation of the crate.
#[tokio::test]
async fn the_documented_permissions_are_enough() {
    const COMMANDS: &str = "+get +eval +evalsha +set +setrange +pexpire +pttl +del +zadd \
                            +zscan +zrange +zrem +info";
    const ON_TOP: &str = "+scan +ping +time +client|tracking +rpush +lrange";
    let server = RedisServer::start();
    let user = |more: &str| {
        let rules = format!("reset on >secret ~session:* {COMMANDS} {more}");
        let rules = ["ACL", "SETUSER", "limited"].into_iter().chain(rules.split_whitespace());
        assert_eq!(server.cli(&rules.collect::<Vec<_>>()), "OK");
    };
    user("");
    let url = format!("redis://limited:secret@{}", server.address());
    let store = store(&url);
    let (owner, tombstone) = (OwnerKey::of("user-42"), SystemClock.now() + HOUR);
    let mut record = draft("values");
    record.owner = Some(owner);
    let done = async |commit| match store.commit(commit).await.unwrap() {
        Outcome::Done(revision) => revision,
        other => panic!("{other:?}"),
    };
    let (one, two) = (key(1), key(2));
    let expected = done(Commit::create(one, record.clone())).await;
    let replace = Commit::replace(one, expected, record.clone());
    let expected = done(replace).await;
    done(Commit::touch(one, expected, SystemClock.now() + 2 * HOUR)).await;
    let rotate = Commit::rotate(one, None, two, record, tombstone);
    done(rotate).await;
    assert_eq!(text(&store, 2).await.as_deref(), Some("values"));
    assert!(store.keys_of(&owner, Cursor::default(), 100).await.unwrap().keys.contains(&two));
    assert!(store.keys_with_tag(&owner, two.tag()).await.unwrap().contains(&two));
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    done(Commit::destroy(two, tombstone)).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    let denied = store.scan(Cursor::default()).await.unwrap_err();
    assert!(!denied.is_unavailable(), "{denied:?}");

    user(ON_TOP);
    store.scan(Cursor::default()).await.unwrap();
    store.health().await.unwrap();
    store.append_to_log("moves", &["one".to_owned()], HOUR).await.unwrap();
    assert_eq!(store.log("moves").await.unwrap(), ["one"]);
    create(&store, 3, "values").await;
    let cached = builder(&url).near_cache(true).build().unwrap();
    while cached.near_cache_hits() == 0 {
        text(&cached, 3).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
