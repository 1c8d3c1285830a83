//! Locks of others, on a file of SQLite and on rows, and an exhausted pool.

use std::time::{Duration, Instant};

use cloakroom::{
    clock::{Clock, SystemClock},
    sql::{
        PgStatements, PostgresStore,
        sqlx::{Connection, Executor, MySqlConnection, PgConnection, SqliteConnection},
    },
    store::{Commit, Outcome, Store},
};

use super::{Database, HOUR, Place, Settings, create, draft, key, live, shown};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_lock_on_a_sqlite_file_is_waited_for() {
    let place = Place::new(Database::Sqlite);
    let store = place.store();
    create(&*store, 0, "0").await;
    let mut other = SqliteConnection::connect(&place.url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let writers: Vec<_> = (1..20)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move { create(&*store, number, "0").await })
        })
        .collect();
    // Readers do not wait.
    let began = Instant::now();
    assert_eq!(live(&*store, key(0)).await.0, "0");
    assert!(began.elapsed() < Duration::from_millis(500));
    tokio::time::sleep(Duration::from_millis(700)).await;
    other.execute("COMMIT").await.unwrap();
    for writer in writers {
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_lock_on_a_sqlite_file_costs_each_writer_its_time_limit() {
    let place = Place::new(Database::Sqlite);
    create(&*place.store(), 0, "0").await;
    let settings = Settings {
        query_timeout: Duration::from_millis(500),
        connect_timeout: Duration::from_millis(300),
        ..Settings::default()
    };
    let store = place.store_with(&settings);
    live(&*store, key(0)).await;
    let mut other = SqliteConnection::connect(&place.url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let writers: Vec<_> = (1..12)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(async move {
                let began = Instant::now();
                let until = SystemClock.now() + HOUR;
                let commit = match number % 3 {
                    0 => Commit::create(key(number), draft("late")),
                    1 => Commit::destroy(key(0), until),
                    _ => Commit::rotate(key(0), None, key(number), draft("late"), until),
                };
                (store.commit(commit).await, began.elapsed())
            })
        })
        .collect();
    for writer in writers {
        let (outcome, took) = writer.await.unwrap();
        let error = outcome.unwrap_err();
        assert!(error.is_unavailable(), "{error:?}");
        let limit = settings.query_timeout + settings.connect_timeout;
        assert!(took < limit + Duration::from_millis(700), "{took:?}: {}", shown(&error));
    }
    assert_eq!(live(&*store, key(0)).await.0, "0", "readers go on");
    other.execute("ROLLBACK").await.unwrap();
    let began = Instant::now();
    while !matches!(store.commit(Commit::create(key(50), draft("new"))).await, Ok(Outcome::Done(_)))
    {
        assert!(began.elapsed() < Duration::from_secs(6), "it does not heal");
    }
}

/// The error names the lock, if the time limit allows it to be waited for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_sqlite_file_is_named_in_the_error() {
    let place = Place::new(Database::Sqlite);
    create(&*place.store(), 0, "0").await;
    let settings = Settings { query_timeout: Duration::from_secs(5), ..Settings::default() };
    let store = place.store_with(&settings);
    let mut other = SqliteConnection::connect(&place.url).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let began = Instant::now();
    let error = store.commit(Commit::create(key(1), draft("late"))).await.unwrap_err();
    assert!(error.is_unavailable() && shown(&error).contains("locked"), "{}", shown(&error));
    assert!(began.elapsed() < Duration::from_secs(6));
}

/// The store of an application whose pool is small and whose transactions are long.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exhausted_pool_of_an_application_is_an_error_in_its_time() {
    let place = Place::new(Database::Postgres(PgStatements::Prepared));
    let pool = cloakroom::sql::sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_millis(300))
        .connect(&place.url)
        .await
        .unwrap();
    let store = PostgresStore::builder(pool.clone()).migrate(true).build().unwrap();
    create(&store, 1, "1").await;
    let held = pool.acquire().await.unwrap();
    let began = Instant::now();
    let error = store.load(&key(1)).await.unwrap_err();
    assert!(error.is_unavailable() && began.elapsed() < Duration::from_secs(1), "{error:?}");
    drop(held);
    assert_eq!(live(&store, key(1)).await.0, "1");
}

/// A row that another transaction holds costs its writer the time limit, and other rows are free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_locked_row_costs_its_writer_the_time_limit() {
    for database in [Database::Postgres(PgStatements::Prepared), Database::MariaDb] {
        let place = Place::new(database);
        let expected = create(&*place.store(), 1, "old").await;
        let settings = Settings {
            query_timeout: Duration::from_millis(500),
            connect_timeout: Duration::from_millis(500),
            ..Settings::default()
        };
        let store = place.store_with(&settings);
        let lock = "SELECT 1 FROM cloakroom_sessions FOR UPDATE";
        let (mut postgres, mut mariadb);
        if database == Database::MariaDb {
            mariadb = MySqlConnection::connect(&place.url).await.unwrap();
            mariadb.execute("BEGIN").await.unwrap();
            mariadb.execute(lock).await.unwrap();
        } else {
            postgres = PgConnection::connect(&place.url).await.unwrap();
            postgres.execute("BEGIN").await.unwrap();
            postgres.execute(lock).await.unwrap();
        }
        for _ in 0..3 {
            let began = Instant::now();
            let replace = Commit::replace(key(1), expected, draft("late"));
            let error = store.commit(replace).await.unwrap_err();
            assert!(error.is_unavailable(), "{error:?}");
            assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
            assert_eq!(live(&*store, key(1)).await.0, "old", "readers do not wait");
        }
    }
}

/// Time limits of the server, which end a statement without an effect.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_limits_of_postgres_are_errors_that_pass() {
    for setting in ["statement_timeout", "lock_timeout"] {
        let place = Place::new(Database::Postgres(PgStatements::Prepared));
        let name = place.url.rsplit('/').next().unwrap();
        let expected = create(&*place.store(), 1, "old").await;
        place.sql(&format!("ALTER DATABASE {name} SET {setting} = '200ms'"));
        let store = place.store();
        let mut other = PgConnection::connect(&place.url).await.unwrap();
        other.execute("BEGIN").await.unwrap();
        other.execute("SELECT 1 FROM cloakroom_sessions FOR UPDATE").await.unwrap();
        let replace = Commit::replace(key(1), expected, draft("late"));
        let error = store.commit(replace).await.unwrap_err();
        assert!(error.is_unavailable(), "{setting}: {}", shown(&error));
        other.execute("ROLLBACK").await.unwrap();
        assert_eq!(live(&*store, key(1)).await, ("old".to_owned(), expected), "{setting}");
    }
}
