//! Requests whose clients go away in the middle of a commit.

use std::{
    future::poll_fn,
    pin::pin,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use cloakroom::{
    clock::{Clock, SystemClock},
    sql::{
        MySqlStore, PostgresStore, SqliteStore,
        sqlx::{
            Connection, Executor, MySqlPool, PgPool, Row, SqliteConnection, SqlitePool,
            mysql::MySqlPoolOptions, postgres::PgPoolOptions,
        },
    },
    store::{Commit, Entry, Outcome, Store},
};

use super::{Database, HOUR, Place, create, done, draft, key, live};

/// Polls a future so many times and then drops it. Returns its output if it was ready.
async fn polled<T>(future: impl Future<Output = T>, mut times: u32) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|context| {
        if times == 0 {
            return Poll::Ready(None);
        }
        times -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// A pool of an application with two connections.
enum Pool {
    Own,
    Postgres(PgPool),
    MariaDb(MySqlPool),
    Sqlite(SqlitePool),
}

impl Pool {
    async fn connect(place: &Place) -> Self {
        match place.database {
            Database::Postgres(_) => {
                let pool = PgPoolOptions::new().max_connections(2).connect(&place.url).await;
                Self::Postgres(pool.unwrap())
            }
            Database::MariaDb => {
                let pool = MySqlPoolOptions::new().max_connections(2).connect(&place.url).await;
                Self::MariaDb(pool.unwrap())
            }
            Database::Sqlite => Self::Sqlite(SqlitePool::connect(&place.url).await.unwrap()),
        }
    }

    fn store(&self, place: &Place) -> Arc<dyn Store> {
        match self {
            Self::Own => place.store(),
            Self::Postgres(pool) => Arc::new(PostgresStore::new(pool.clone())),
            Self::MariaDb(pool) => Arc::new(MySqlStore::new(pool.clone())),
            Self::Sqlite(pool) => Arc::new(SqliteStore::new(pool.clone()).unwrap()),
        }
    }

    /// Checks that no connection that the application gets from its pool is in a transaction.
    async fn assert_clean(&self) {
        match self {
            Self::MariaDb(pool) => {
                let mut connections = Vec::new();
                for _ in 0..2 {
                    connections.push(pool.acquire().await.unwrap());
                }
                for connection in &mut connections {
                    let row = connection.fetch_one("SELECT @@in_transaction").await.unwrap();
                    assert_eq!(row.get::<u64, _>(0), 0, "the application's writes would be undone");
                }
            }
            Self::Postgres(pool) => {
                let mut connections = Vec::new();
                for _ in 0..2 {
                    connections.push(pool.acquire().await.unwrap());
                }
                for connection in &mut connections {
                    connection.execute("VACUUM cloakroom_sessions_state").await.unwrap();
                }
            }
            Self::Own | Self::Sqlite(_) => {}
        }
    }
}

/// Checks that no transaction is open and no row locked.
async fn assert_free(place: &Place) {
    let open = match place.database {
        Database::Postgres(_) => {
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
             AND state LIKE 'idle in transaction%'"
        }
        // Other tests use this server as well, so only those that do nothing for long count. The server
        // renews this table only if nobody has read it for 100 ms.
        Database::MariaDb => {
            "SELECT count(*) FROM information_schema.innodb_trx JOIN information_schema.processlist \
             ON id = trx_mysql_thread_id WHERE db = database() AND command = 'Sleep'"
        }
        Database::Sqlite => {
            let mut other = SqliteConnection::connect(&place.url).await.unwrap();
            other.execute("BEGIN IMMEDIATE").await.unwrap();
            other.execute("ROLLBACK").await.unwrap();
            return;
        }
    };
    let began = Instant::now();
    while place.sql(open) != "0" {
        assert!(
            began.elapsed() < Duration::from_secs(3),
            "{:?}: an open transaction",
            place.database
        );
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

async fn cancel_at_each_await(database: Database, is_shared: bool) {
    let place = Place::new(database);
    let direct = place.store();
    create(&*direct, 0, "0").await;
    let pool = if is_shared { Pool::connect(&place).await } else { Pool::Own };
    let store = pool.store(&place);
    let until = SystemClock.now() + HOUR;
    let mut number = 10;
    for kind in 0..6 {
        let mut cancelled = 0;
        for polls in 0.. {
            number += 2;
            let (from, to) = (key(number), key(number + 1));
            let expected =
                if kind == 0 { None } else { Some(create(&*direct, number, "old").await) };
            let revision = expected.unwrap_or_default();
            let work = async {
                let commit = match kind {
                    0 => Commit::create(from, draft("new")),
                    1 => Commit::replace(from, revision, draft("new")),
                    2 => Commit::touch(from, revision, until + HOUR),
                    3 => Commit::rotate(from, expected, to, draft("new"), until),
                    4 => Commit::destroy(from, until),
                    _ => return store.load(&from).await.map(|_| Outcome::Gone),
                };
                store.commit(commit).await
            };
            let finished = polled(work, polls).await;
            assert_free(&place).await;
            pool.assert_clean().await;
            if let Some(outcome) = finished {
                outcome.unwrap();
                break;
            }
            cancelled += 1;
            // Whatever became of it, the session can be used, and of a rotation one key is live.
            let ends = async {
                let mut live = 0;
                for key in [from, to] {
                    if let Some(Entry::Live(_)) = direct.load(&key).await.unwrap() {
                        live += 1;
                        done(direct.commit(Commit::destroy(key, until)).await);
                    }
                }
                live
            };
            let live = tokio::time::timeout(Duration::from_secs(3), ends).await;
            let live = live.unwrap_or_else(|_| panic!("{database:?}, {kind}: a row is locked"));
            let expected = if matches!(kind, 0 | 4) { 0..=1 } else { 1..=1 };
            assert!(expected.contains(&live), "{database:?}, {kind}, {polls}: {live} live keys");
        }
        assert!(cancelled > 0, "{database:?}, {kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_is_dropped_at_any_await_leaves_no_transaction_and_no_lock() {
    for database in Database::ALL {
        for is_shared in [false, true] {
            cancel_at_each_await(database, is_shared).await;
        }
    }
}

/// Drops commits after a time, and not after a number of polls: replies are on their way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_requests_never_cross_replies() {
    for database in Database::ALL {
        for is_shared in [false, true] {
            let place = Place::new(database);
            let direct = place.store();
            for number in 0..8 {
                create(&*direct, number, &number.to_string()).await;
            }
            let pool = if is_shared { Pool::connect(&place).await } else { Pool::Own };
            let store = pool.store(&place);
            let clients: Vec<_> = (0..8_u64)
                .map(|number| {
                    let store = store.clone();
                    tokio::spawn(async move {
                        for round in 0..60_u64 {
                            let patience =
                                Duration::from_micros((round * 37 + number * 11) % 1_500);
                            let work = async {
                                let (text, revision) = live(&*store, key(number)).await;
                                assert_eq!(text, number.to_string(), "a reply to another request");
                                let draft = draft(number.to_string());
                                let replace = Commit::replace(key(number), revision, draft);
                                let outcome = store.commit(replace).await.unwrap();
                                // The replacement of an earlier round may be on its way.
                                assert!(matches!(outcome, Outcome::Done(_) | Outcome::Conflict(_)));
                            };
                            drop(tokio::time::timeout(patience, work).await);
                        }
                    })
                })
                .collect();
            for client in clients {
                client.await.unwrap();
            }
            assert_free(&place).await;
            pool.assert_clean().await;
        }
    }
}
