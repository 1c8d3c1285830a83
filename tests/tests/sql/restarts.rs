//! Servers that stop, crash, freeze, and come back.

use std::time::{Duration, Instant};

use cloakroom::{
    clock::{Clock, SystemClock},
    sql::PgStatements,
    store::{Commit, Store},
};
use cloakroom_tests::{
    databases::{MariaDbServer, PostgresServer},
    redis::free_port,
};

use super::{Database, HOUR, Place, Settings, create, done, draft, key, live, shown, tombstone};

/// A server that a test stops.
pub(crate) trait Server: Send {
    fn url(&self) -> String;
    fn stop(&mut self);
    fn kill(&mut self);
    fn restart(&mut self);
    fn pause(&self);
    fn resume(&self);

    /// Ends it, in one of the two ways.
    fn end(&mut self, crashes: bool) {
        if crashes {
            self.kill();
        } else {
            self.stop();
        }
    }
}

macro_rules! servers {
    ($($server:ty),*) => {$(
        impl Server for $server {
            fn url(&self) -> String {
                self.url()
            }

            fn stop(&mut self) {
                self.stop();
            }

            fn kill(&mut self) {
                self.kill();
            }

            fn restart(&mut self) {
                self.restart();
            }

            fn pause(&self) {
                self.pause();
            }

            fn resume(&self) {
                self.resume();
            }
        }
    )*};
}

servers!(PostgresServer, MariaDbServer);

pub(crate) const POSTGRES: Database = Database::Postgres(PgStatements::Prepared);

fn started() -> [(Database, Box<dyn Server>); 2] {
    [
        (POSTGRES, Box::new(PostgresServer::start())),
        (Database::MariaDb, Box::new(MariaDbServer::start())),
    ]
}

/// How much longer than its limits a call may take on a busy machine.
pub(crate) const SLACK: Duration = Duration::from_secs(2);

pub(crate) fn impatient() -> Settings {
    Settings {
        query_timeout: Duration::from_secs(1),
        connect_timeout: Duration::from_millis(500),
        ..Settings::default()
    }
}

async fn heals(store: &dyn Store, within: Duration) {
    let began = Instant::now();
    while let Err(error) = store.load(&key(0)).await {
        assert!(began.elapsed() < within, "{error:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_is_an_error_at_once() {
    let port = free_port();
    for (database, url) in [
        (POSTGRES, format!("postgres://cloakroom@127.0.0.1:{port}/cloakroom")),
        (Database::MariaDb, format!("mysql://cloakroom@127.0.0.1:{port}/cloakroom")),
    ] {
        let store = database.open(&url, &impatient());
        for _ in 0..20 {
            let started = Instant::now();
            let error = store.load(&key(1)).await.unwrap_err();
            assert!(error.is_unavailable(), "{error:?}");
            assert!(started.elapsed() < Duration::from_millis(500));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everyone_is_signed_in_after_a_stop_and_a_crash() {
    for (database, mut server) in started() {
        let store = database.open(&server.url(), &impatient());
        for number in 0..10 {
            create(&*store, number, "values").await;
        }
        done(store.commit(Commit::destroy(key(9), SystemClock.now() + HOUR)).await);
        for crashes in [false, true] {
            server.end(crashes);
            for _ in 0..5 {
                let error = store.load(&key(1)).await.unwrap_err();
                assert!(error.is_unavailable(), "{error:?}");
                let late = store.commit(Commit::create(key(50), draft("late"))).await;
                assert!(late.unwrap_err().is_unavailable());
            }
            server.restart();
            heals(&*store, Duration::from_secs(2)).await;
            for number in 0..9 {
                assert_eq!(live(&*store, key(number)).await.0, "values");
            }
            assert_eq!(tombstone(&*store, key(9)).await, None);
        }
    }
}

/// All idle connections are broken, and a request may meet one after the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_between_two_requests_is_not_noticed() {
    for (database, mut server) in started() {
        let store = database.open(&server.url(), &Settings::default());
        let expected = create(&*store, 0, "values").await;
        for (crashes, writes) in [(false, false), (true, false), (false, true), (true, true)] {
            let loads: Vec<_> = (0..16)
                .map(|_| {
                    let store = store.clone();
                    tokio::spawn(async move { store.load(&key(0)).await.unwrap() })
                })
                .collect();
            for load in loads {
                load.await.unwrap();
            }
            server.end(crashes);
            server.restart();
            if writes {
                let expires = SystemClock.now() + 2 * HOUR;
                done(store.commit(Commit::touch(key(0), expected, expires)).await);
            } else {
                assert_eq!(live(&*store, key(0)).await.0, "values");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_server_costs_each_request_its_time_limit() {
    for (database, server) in started() {
        let (connect, query) = (Duration::from_millis(300), Duration::from_millis(500));
        let settings = Settings {
            query_timeout: query,
            connect_timeout: connect,
            pool_size: 2,
            ..Settings::default()
        };
        let store = database.open(&server.url(), &Settings::default());
        let expected = create(&*store, 0, "values").await;
        let (store, first_use) =
            (database.open(&server.url(), &settings), database.open(&server.url(), &settings));
        heals(&*store, HOUR).await;
        server.pause();
        for store in [&store, &store, &first_use] {
            let requests: Vec<_> = (0..40)
                .map(|request| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        let started = Instant::now();
                        let error = if request % 2 == 0 {
                            store.load(&key(0)).await.unwrap_err()
                        } else {
                            let replace = Commit::replace(key(0), expected, draft("late"));
                            store.commit(replace).await.unwrap_err()
                        };
                        assert!(error.is_unavailable(), "{error:?}");
                        started.elapsed()
                    })
                })
                .collect();
            for request in requests {
                let took = request.await.unwrap();
                assert!(took < connect + query + SLACK, "{database:?}: {took:?}");
            }
        }
        server.resume();
        heals(&*store, Duration::from_secs(2)).await;
    }
}

/// As after a fail-over, for clients that are still connected to the former primary server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_accepts_no_writes_is_unavailable_for_writes() {
    let place = Place::new(POSTGRES);
    let name = place.url.rsplit('/').next().unwrap();
    let server = MariaDbServer::start();
    server.sql("CREATE USER plain; GRANT ALL ON cloakroom.* TO plain");
    let limited = server.url().replace("cloakroom@", "plain@");
    let set = |is_read_only: bool| {
        let (postgres, mariadb) = if is_read_only { ("on", 1) } else { ("off", 0) };
        let setting = format!("SET default_transaction_read_only = {postgres}");
        place.sql(&format!("BEGIN READ WRITE; ALTER DATABASE {name} {setting}; COMMIT"));
        server.sql(&format!("SET GLOBAL read_only = {mariadb}"));
    };
    let stores = [
        place.store(),
        Database::MariaDb.open(&limited, &Settings { pool_size: 2, ..Settings::default() }),
    ];
    for store in &stores {
        create(&**store, 1, "old").await;
    }
    drop(stores);
    set(true);
    let stores = [place.store(), Database::MariaDb.open(&limited, &Settings::default())];
    for store in &stores {
        let (text, revision) = live(&**store, key(1)).await;
        assert_eq!(text, "old", "reading goes on");
        let replace = Commit::replace(key(1), revision, draft("new"));
        let error = store.commit(replace).await.unwrap_err();
        assert!(error.is_unavailable(), "{}", shown(&error));
    }
    set(false);
    for store in &stores {
        let (_, revision) = live(&**store, key(1)).await;
        done(store.commit(Commit::replace(key(1), revision, draft("new"))).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_an_operator_ends_are_not_noticed() {
    for database in [POSTGRES, Database::MariaDb] {
        let place = Place::new(database);
        let store = place.store();
        let mut revision = create(&*store, 1, "0").await;
        for round in 0..5 {
            end_connections(&place);
            assert_eq!(live(&*store, key(1)).await.0, round.to_string());
            end_connections(&place);
            let text = (round + 1).to_string();
            let replace = Commit::replace(key(1), revision, draft(text));
            revision = done(store.commit(replace).await);
        }
    }
}

/// Ends all connections to a database but the one that does this.
fn end_connections(place: &Place) {
    if matches!(place.database, Database::Postgres(_)) {
        place.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        return;
    }
    let ids = place.sql(
        "SELECT id FROM information_schema.processlist \
         WHERE db = database() AND id <> connection_id()",
    );
    for id in ids.lines() {
        place.sql(&format!("KILL {id}"));
    }
}
