//! The pool of an application.

use std::time::Duration;

use cloakroom::{
    sql::{
        MySqlStore, PgStatements, PostgresStore, SqliteStore,
        sqlx::{MySqlPool, PgPool, SqlitePool, sqlite::SqlitePoolOptions},
    },
    store::Store,
};

use super::{Database, Place, create, key, live};

async fn on_pool_of(place: &Place) -> Box<dyn Store> {
    match place.database {
        Database::Postgres(_) => {
            let pool = PgPool::connect(&place.url).await.unwrap();
            Box::new(PostgresStore::builder(pool).migrate(true).build().unwrap())
        }
        Database::MariaDb => {
            let pool = MySqlPool::connect(&place.url).await.unwrap();
            Box::new(MySqlStore::builder(pool).migrate(true).build().unwrap())
        }
        Database::Sqlite => {
            let url = format!("{}?mode=rwc", place.url);
            let pool = SqlitePool::connect(&url).await.unwrap();
            Box::new(SqliteStore::builder(pool).unwrap().migrate(true).build().unwrap())
        }
    }
}

#[test]
fn a_store_is_dropped_outside_of_a_runtime() {
    for database in Database::ALL {
        let place = Place::new(database);
        let build = || tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let runtime = build();
        let used = runtime.block_on(async {
            let stores: [Box<dyn Store>; 2] =
                [on_pool_of(&place).await, Box::new(place.store() as std::sync::Arc<dyn Store>)];
            for (number, store) in (0..).zip(&stores) {
                create(&**store, number, "values").await;
            }
            stores
        });
        drop(runtime);
        drop(used);
        // The other way round: the runtime ends after the store, with connections of it open.
        let runtime = build();
        let used = runtime.block_on(on_pool_of(&place));
        drop(used);
        runtime.shutdown_timeout(Duration::from_secs(1));
    }
}

/// The connections of one runtime are of no use in the next, as in tests that share a store.
#[test]
fn a_store_outlives_the_runtime_that_it_was_used_in() {
    for database in Database::ALL {
        let place = Place::new(database);
        let store = place.store();
        for number in 0..3 {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                create(&*store, number, "values").await;
                assert_eq!(live(&*store, key(0)).await.0, "values");
            });
        }
    }
}

/// As with actix-web, whose workers have a runtime each: the worker that used a connection last is busy
/// ever since.
#[test]
fn a_busy_worker_delays_no_other() {
    for database in Database::KINDS {
        let place = Place::new(database);
        let store = place.store();
        let (used, waits) = std::sync::mpsc::channel();
        let first = store.clone();
        let busy = std::thread::spawn(move || {
            let worker =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            worker.block_on(create(&*first, 1, "values"));
            used.send(()).unwrap();
            std::thread::park();
        });
        waits.recv().unwrap();
        let load = async {
            let load = tokio::time::timeout(Duration::from_secs(3), store.load(&key(1))).await;
            load.is_ok_and(|loaded| loaded.is_ok_and(|entry| entry.is_some()))
        };
        let is_loaded = super::place::in_thread(load);
        busy.thread().unpark();
        busy.join().unwrap();
        assert!(is_loaded, "{database:?}: the connection waits for a runtime that does nothing");
    }
}

#[tokio::test]
async fn a_database_in_memory_has_one_connection() {
    for url in ["sqlite::memory:", "sqlite://?mode=memory", "sqlite:"] {
        let options = SqlitePoolOptions::new().max_connections(2);
        let pool = options.connect_lazy(url).unwrap();
        let error = SqliteStore::new(pool).unwrap_err().to_string();
        assert!(error.contains("max_connections(1)"), "{url}: {error}");
        let error = SqliteStore::at(url).unwrap_err().to_string();
        assert!(error.contains("in memory"), "{url}: {error}");
    }
    let options = SqlitePoolOptions::new().max_connections(1);
    let pool = options.connect("sqlite::memory:").await.unwrap();
    let store = SqliteStore::builder(pool).unwrap().migrate(true).build().unwrap();
    create(&store, 1, "values").await;
    assert_eq!(live(&store, key(1)).await.0, "values");
}

#[tokio::test]
async fn settings_of_own_connections_are_refused_for_a_shared_pool() {
    let place = Place::new(Database::Postgres(PgStatements::Prepared));
    let pool = PgPool::connect_lazy(&place.url).unwrap();
    for (setting, builder) in [
        ("pool_size", PostgresStore::builder(pool.clone()).pool_size(2)),
        ("connect_timeout", {
            PostgresStore::builder(pool.clone()).connect_timeout(Duration::from_secs(1))
        }),
    ] {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.starts_with(setting), "{error}");
    }
}
