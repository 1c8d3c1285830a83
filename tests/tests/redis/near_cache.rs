//! The near cache against another process's writes.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use cloakroom::{
    redis::RedisStore,
    store::{Commit, Draft, Entry, Outcome, Store},
};
use cloakroom_tests::{
    proxy::{Fault, FaultProxy},
    redis::RedisServer,
};

use super::{HOUR, builder, create, draft, key, store, text};
use cloakroom::clock::{Clock, FakeClock, SystemClock};

/// A store whose cache has served a read already.
async fn warm(url: &str) -> RedisStore {
    let store = builder(url).near_cache(true).build().unwrap();
    for _ in 0..400 {
        text(&store, 1).await;
        if store.near_cache_hits() > 0 {
            return store;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the near cache never answered")
}

/// As an application that reads sessions in one runtime and then serves in another.
#[test]
fn the_cache_survives_the_runtime_that_used_it_first() {
    let server = RedisServer::start();
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let (other, first) = (store(&server.url()), runtime());
    let (cached, revision) = first.block_on(async {
        let revision = create(&other, 1, "before").await;
        (warm(&server.url()).await, revision)
    });
    drop(first);
    runtime().block_on(async {
        let replace = Commit::replace(key(1), revision, draft("after"));
        assert!(matches!(other.commit(replace).await.unwrap(), Outcome::Done(_)));
        assert_eq!(text(&cached, 1).await.as_deref(), Some("after"));
        let before = cached.near_cache_hits();
        let started = Instant::now();
        while cached.near_cache_hits() == before {
            assert!(started.elapsed() < Duration::from_secs(5), "the cache stays off");
            text(&cached, 1).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_of_another_process_are_seen_soon_and_stay() {
    let server = RedisServer::start();
    let other = store(&server.url());
    let mut revision = create(&other, 1, "0").await;
    let cached = warm(&server.url()).await;
    let readers: Vec<_> = (0..4)
        .map(|_| {
            let cached = cached.clone();
            tokio::spawn(async move {
                let (mut last, mut went_back) = (0_u64, 0);
                while last < 500 {
                    let now = text(&cached, 1).await.unwrap().parse().unwrap();
                    went_back += u64::from(now < last);
                    last = now;
                    tokio::task::yield_now().await;
                }
                went_back
            })
        })
        .collect();
    for n in 1..=500 {
        let record = draft(n.to_string());
        let replace = Commit::replace(key(1), revision, record);
        let Outcome::Done(next) = other.commit(replace).await.unwrap() else { panic!("conflict") };
        revision = next;
    }
    let written = Instant::now();
    let mut went_back = 0;
    for reader in readers {
        went_back += reader.await.unwrap();
    }
    assert_eq!(went_back, 0);
    assert!(written.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_process_reads_what_it_wrote() {
    let server = RedisServer::start();
    let mut revision = create(&store(&server.url()), 1, "0").await;
    let cached = warm(&server.url()).await;
    for n in 1..500 {
        let replace = Commit::replace(key(1), revision, draft(n.to_string()));
        let Outcome::Done(next) = cached.commit(replace).await.unwrap() else { panic!("conflict") };
        revision = next;
        assert_eq!(text(&cached, 1).await, Some(n.to_string()));
    }
}

#[tokio::test]
async fn a_stale_read_cannot_overwrite() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(server.address()).await;
    let other = store(&server.url());
    let first = create(&other, 1, "old").await;
    let cached = warm(&proxy.url()).await;
    // Pushes do not arrive any more, and nothing shows it.
    proxy.set(Fault::BlackHole);
    let replace = Commit::replace(key(1), first, draft("new"));
    other.commit(replace).await.unwrap();
    let Some(Entry::Live(stale)) = cached.load(&key(1)).await.unwrap() else { panic!("gone") };
    assert_eq!(stale.bytes, "old", "served from memory, within the bound");
    proxy.set(Fault::Reset);
    proxy.set(Fault::None);
    let late = Commit::replace(key(1), stale.revision, draft("late"));
    let outcome = loop {
        if let Ok(outcome) = cached.commit(late.clone()).await {
            break outcome;
        }
    };
    assert!(matches!(outcome, Outcome::Conflict(stored) if stored.bytes == "new"));
}

#[tokio::test]
async fn a_dead_link_is_noticed_before_old_values_are_served() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(server.address()).await;
    let other = store(&server.url());
    create(&other, 1, "values").await;
    let cached = warm(&proxy.url()).await;
    proxy.set(Fault::BlackHole);
    let destroy = Commit::destroy(key(1), SystemClock.now() + HOUR);
    other.commit(destroy).await.unwrap();
    let destroyed = Instant::now();
    // From memory it is live; once the cache is empty the store cannot tell, which is an error.
    while cached.load(&key(1)).await.is_ok() {
        assert!(destroyed.elapsed() < Duration::from_secs(6), "served past the bound of 5 s");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn what_has_expired_in_the_cache_is_read_from_redis() {
    let server = RedisServer::start();
    let clock = Arc::new(FakeClock::default());
    let with_clock = |near_cache| {
        builder(&server.url()).clock(clock.clone()).near_cache(near_cache).build().unwrap()
    };
    let (cached, other) = (with_clock(true), with_clock(false));
    let record = Draft::new("values", clock.now(), HOUR);
    other.commit(Commit::create(key(1), record)).await.unwrap();
    while cached.near_cache_hits() == 0 {
        assert_eq!(text(&cached, 1).await.as_deref(), Some("values"));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    clock.advance(HOUR);
    server.reset_stats();
    let hits = cached.near_cache_hits();
    assert_eq!(text(&cached, 1).await, None);
    assert_eq!(server.calls().get("get"), Some(&1), "Redis was asked");
    assert_eq!(cached.near_cache_hits(), hits);
}

/// How many connections a server has accepted in three seconds.
async fn connections_in_three_seconds(server: &RedisServer) -> u64 {
    let count = || {
        let info = server.cli(&["INFO", "stats"]);
        let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    let before = count();
    tokio::time::sleep(Duration::from_secs(3)).await;
    // Each question is a connection too.
    count() - before - 1
}

#[tokio::test]
async fn a_cache_without_tracking_pauses_and_warns_once() {
    let server = RedisServer::start();
    for forbidden in ["-client|tracking", "-ping"] {
        let rules =
            ["ACL", "SETUSER", "limited", "reset", "on", ">secret", "~*", "+@all", forbidden];
        assert_eq!(server.cli(&rules), "OK");
        let log = Log::default();
        let _logged = log.collect();
        let url = format!("redis://limited:secret@{}", server.address());
        let store = builder(&url).near_cache(true).build().unwrap();
        create(&store, 1, "values").await;
        let connections = connections_in_three_seconds(&server).await;
        assert!((1..=9).contains(&connections), "{forbidden}: {connections} connections");
        assert_eq!(text(&store, 1).await.as_deref(), Some("values"), "{forbidden}");
        assert_eq!(log.count("WARN", "near cache"), 1, "{forbidden}: {}", log.text());
        server.cli(&["FLUSHALL"]);
    }
}

#[tokio::test]
async fn a_link_that_dies_soon_after_each_answer_warns_once() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(server.address()).await;
    create(&store(&server.url()), 1, "values").await;
    let cached = warm(&proxy.url()).await;
    let log = Log::default();
    let _logged = log.collect();
    // A link is asked for an answer once a second: it gives one, and the next finds it dead.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        proxy.start_over();
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    let failures = log.count("DEBUG", "near cache");
    assert!(failures >= 1, "{}", log.text());
    assert_eq!(log.count("WARN", "near cache"), 1, "{}", log.text());
    drop(cached);
}

#[tokio::test]
async fn a_cache_without_its_server_pauses_and_comes_back() {
    let mut server = RedisServer::start();
    let cached = builder(&server.url()).near_cache(true).build().unwrap();
    create(&cached, 1, "values").await;
    while cached.near_cache_hits() == 0 {
        text(&cached, 1).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let log = Log::default();
    let logged = log.collect();
    server.kill();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(log.count("WARN", "near cache"), 1, "{}", log.text());
    let attempts = log.count("DEBUG", "near cache");
    assert!((2..=10).contains(&attempts), "{attempts} attempts: {}", log.text());
    drop(logged);
    server.restart();
    let hits = cached.near_cache_hits();
    let back = Instant::now();
    while cached.near_cache_hits() == hits {
        assert!(back.elapsed() < Duration::from_secs(5), "the cache did not come back");
        if matches!(cached.load(&key(1)).await, Ok(None)) {
            create(&cached, 1, "values").await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Collects the log of this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn collect(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("cloakroom_redis=debug")
            .with_ansi(false)
            .with_writer(move || log.clone());
        tracing::subscriber::set_default(subscriber.finish())
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    fn count(&self, level: &str, part: &str) -> usize {
        let text = self.text();
        text.lines().filter(|line| line.contains(level) && line.contains(part)).count()
    }
}

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_small_cache_keeps_what_was_used_last() {
    let server = RedisServer::start();
    let cached = builder(&server.url()).near_cache(true).near_cache_bytes(16 * 1024);
    let cached = cached.build().unwrap();
    // Two of these find room, and not three.
    let large = "x".repeat(6_000);
    for number in 1..=3 {
        create(&cached, number, &large).await;
    }
    while cached.near_cache_hits() == 0 {
        text(&cached, 1).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    text(&cached, 2).await;
    text(&cached, 1).await;
    text(&cached, 3).await;
    server.reset_stats();
    for number in [1, 3] {
        text(&cached, number).await;
    }
    assert_eq!(server.calls().get("get"), None, "those that were used last are there");
    text(&cached, 2).await;
    assert_eq!(server.calls().get("get"), Some(&1), "the third left");
    let refused = builder(&server.url()).near_cache_bytes(0).build().unwrap_err().to_string();
    assert!(refused.contains("near_cache_bytes is 0; expected more than 0"), "{refused}");
}
