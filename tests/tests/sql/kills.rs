//! Servers that are killed under load.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use cloakroom::{
    clock::{Clock, SystemClock},
    store::{Commit, Entry, Outcome, RecordKey, Store},
};
use cloakroom_tests::databases::{MariaDbServer, PostgresServer};

use super::{
    Database, HOUR, create, draft, key, live,
    restarts::{POSTGRES, SLACK, Server, impatient},
    tombstone,
};

/// The knowledge of the writer of one session.
#[derive(Debug, Default)]
struct Written {
    /// The last number that was acknowledged.
    acknowledged: u64,
    /// Numbers whose writes ended with an error since then.
    unknown: Vec<u64>,
    writes: u64,
    errors: u64,
    slowest: Duration,
}

/// Writes numbers into a session, until told to stop.
async fn write(store: Arc<dyn Store>, number: u64, stops: Arc<AtomicBool>) -> Written {
    let mut written = Written::default();
    let mut next = 0;
    while !stops.load(Ordering::SeqCst) {
        let began = Instant::now();
        let found = store.load(&key(number)).await;
        written.slowest = written.slowest.max(began.elapsed());
        match found {
            Ok(Some(Entry::Live(stored))) => {
                let text: u64 = std::str::from_utf8(&stored.bytes).unwrap().parse().unwrap();
                written.assert_holds(text);
                (written.acknowledged, next) = (text, next + 1);
                written.unknown.clear();
                let began = Instant::now();
                let replace =
                    Commit::replace(key(number), stored.revision, draft(next.to_string()));
                let outcome = store.commit(replace).await;
                written.slowest = written.slowest.max(began.elapsed());
                match outcome {
                    Ok(Outcome::Done(_)) => {
                        (written.acknowledged, written.writes) = (next, written.writes + 1);
                    }
                    // The write of an earlier connection was late.
                    Ok(Outcome::Conflict(_)) => written.unknown.extend(0..=next),
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => {
                        assert!(error.is_unavailable(), "{error:?}");
                        written.unknown.push(next);
                        written.errors += 1;
                    }
                }
            }
            Ok(other) => panic!("session {number}: {other:?}"),
            Err(error) => {
                assert!(error.is_unavailable(), "{error:?}");
                written.errors += 1;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
    }
    written
}

impl Written {
    fn assert_holds(&self, found: u64) {
        let is_known = found == self.acknowledged || self.unknown.contains(&found);
        assert!(is_known, "{found} is stored: {self:?}");
    }
}

/// Begins and ends sessions. Returns the keys of those whose end was acknowledged.
async fn sign_out(store: Arc<dyn Store>, stops: Arc<AtomicBool>) -> Vec<RecordKey> {
    let mut ended = Vec::new();
    for number in 1_000.. {
        if stops.load(Ordering::SeqCst) {
            break;
        }
        let until = SystemClock.now() + HOUR;
        let begun = store.commit(Commit::create(key(number), draft("values"))).await;
        if begun.is_ok() && store.commit(Commit::destroy(key(number), until)).await.is_ok() {
            ended.push(key(number));
        }
    }
    ended
}

async fn kill_under_load(database: Database, mut server: Box<dyn Server>, kills: u32) {
    const WRITERS: u64 = 6;
    let settings = impatient();
    let store = database.open(&server.url(), &settings);
    for number in 0..WRITERS {
        create(&*store, number, "0").await;
    }
    let stops = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|number| tokio::spawn(write(store.clone(), number, stops.clone())))
        .collect();
    let ends = tokio::spawn(sign_out(store.clone(), stops.clone()));
    let server = tokio::task::spawn_blocking(move || {
        for kill in 0..kills {
            std::thread::sleep(Duration::from_millis(u64::from(250 + kill * 37 % 200)));
            server.kill();
            std::thread::sleep(Duration::from_millis(100));
            server.restart();
        }
        std::thread::sleep(Duration::from_millis(300));
        server
    });
    let server = server.await.unwrap();
    stops.store(true, Ordering::SeqCst);
    let (mut held, mut errors, mut slowest) = (0, 0, Duration::ZERO);
    for (number, writer) in (0..).zip(writers) {
        let written = writer.await.unwrap();
        written.assert_holds(live(&*store, key(number)).await.0.parse().unwrap());
        (held, errors) = (held + written.writes, errors + written.errors);
        slowest = slowest.max(written.slowest);
    }
    let ended = ends.await.unwrap();
    for key in &ended {
        assert_eq!(tombstone(&*store, *key).await, None, "a logout was lost");
    }
    println!(
        "{database:?}, {kills} kills: {held} writes and {} logouts held, {errors} errors, the slowest \
         call took {slowest:?}",
        ended.len()
    );
    assert!(slowest < settings.connect_timeout + settings.query_timeout + SLACK, "{slowest:?}");
    assert!(held > 0 && errors > 0 && !ended.is_empty());
    drop(server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgres_acknowledged_outlives_its_kill_under_load() {
    kill_under_load(POSTGRES, Box::new(PostgresServer::start_durable()), 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_mariadb_acknowledged_outlives_its_kill_under_load() {
    kill_under_load(Database::MariaDb, Box::new(MariaDbServer::start_durable()), 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn fifty_kills_lose_nothing() {
    kill_under_load(POSTGRES, Box::new(PostgresServer::start_durable()), 50).await;
    kill_under_load(Database::MariaDb, Box::new(MariaDbServer::start_durable()), 50).await;
}
