//! Statements that are in each other's way: isolation levels, deadlocks, locks of others.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cloakroom::{
    clock::{Clock, FakeClock, SystemClock},
    conformance,
    sql::{
        MySqlStore, PgStatements,
        sqlx::{Connection, Executor, MySqlConnection, MySqlPool, PgConnection},
    },
    store::{Commit, Store},
};

use super::{
    Database, HOUR, Place, Settings, create, done, draft, hot, key, live, overwrite, tombstone,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms_and_counts_at_every_isolation_level() {
    for isolation in ["repeatable read", "serializable"] {
        for statements in [PgStatements::Prepared, PgStatements::Simple] {
            let place = Place::new(Database::Postgres(statements));
            let name = place.url.rsplit('/').next().unwrap();
            place.sql(&format!(
                "ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'"
            ));
            let clock = Arc::new(FakeClock::default());
            let settings = Settings { clock: clock.clone(), ..Settings::default() };
            conformance::check(place.store_with(&settings), &*clock).await;
            hot::count(&hot::stores(&place, 1), 10).await;
            hot::count(&hot::stores(&place, 4), 10).await;
        }
    }
}

/// The pool of an application: its connections have the isolation level of the server.
async fn shared_mariadb(place: &Place, clock: Arc<dyn Clock>) -> Arc<dyn Store> {
    let pool = MySqlPool::connect(&place.url).await.unwrap();
    let store = MySqlStore::builder(pool).clock(clock).migrate(true).sweep_budget(None);
    Arc::new(store.build().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mariadb_conforms_and_counts_over_the_pool_of_an_application() {
    let place = Place::new(Database::MariaDb);
    assert_eq!(place.sql("SELECT @@tx_isolation"), "REPEATABLE-READ");
    let clock = Arc::new(FakeClock::default());
    conformance::check(shared_mariadb(&place, clock.clone()).await, &*clock).await;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (one, two) =
        (shared_mariadb(&place, clock.clone()).await, shared_mariadb(&place, clock).await);
    hot::count(&[one, two], 10).await;
}

/// Rotations and sweeps lock several rows, in different orders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rotations_beside_sweeps_never_fail() {
    let strict = (Database::Postgres(PgStatements::Prepared), true);
    for (database, is_serializable) in
        Database::KINDS.map(|database| (database, false)).into_iter().chain([strict])
    {
        let place = Place::new(database);
        if is_serializable {
            let name = place.url.rsplit('/').next().unwrap();
            let setting = "default_transaction_isolation = 'serializable'";
            place.sql(&format!("ALTER DATABASE {name} SET {setting}"));
        }
        let stores = match database {
            Database::MariaDb => {
                let clock: Arc<dyn Clock> = Arc::new(SystemClock);
                vec![
                    shared_mariadb(&place, clock.clone()).await,
                    shared_mariadb(&place, clock).await,
                ]
            }
            _ => hot::stores(&place, 2),
        };
        create(&*stores[0], 0, "0").await;
        let sweeping = stores[1].clone();
        let sweep = tokio::spawn(async move {
            let mut removed = 0;
            for _ in 0..60 {
                removed += sweeping.as_sweep().unwrap().sweep(50).await.unwrap().removed;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            removed
        });
        let writers: Vec<_> = (1..9_u64)
            .map(|writer| {
                let store = stores[usize::try_from(writer % 2).unwrap()].clone();
                tokio::spawn(async move {
                    create(&*store, writer << 32, "0").await;
                    for round in 0..30 {
                        let (from, to) = ((writer << 32) + round, (writer << 32) + round + 1);
                        // Its tombstone has expired when the sweep comes.
                        let until = SystemClock.now() + Duration::from_millis(1);
                        let (_, expected) = live(&*store, key(from)).await;
                        let draft = draft(round.to_string());
                        let rotate =
                            Commit::rotate(key(from), Some(expected), key(to), draft, until);
                        done(store.commit(rotate).await);
                    }
                })
            })
            .collect();
        for writer in writers {
            writer.await.unwrap();
        }
        assert!(sweep.await.unwrap() > 0, "{database:?}: nothing was swept beside the writers");
        assert_eq!(place.records(), 9, "{database:?}");
    }
}

/// Another transaction has the new key's row and waits for the old one, which the rotation has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_a_deadlock_undid_is_tried_again() {
    let place = Place::new(Database::Postgres(PgStatements::Prepared));
    let store = place.store();
    let expected = create(&*store, 1, "old").await;
    let mut other = PgConnection::connect(&place.url).await.unwrap();
    // Who looks for a deadlock first is undone. The other one does so after a second.
    other.execute("SET deadlock_timeout = '10s'").await.unwrap();
    let table = "cloakroom_sessions";
    let insert = format!(
        "BEGIN; INSERT INTO {table} (id, revision, expires) VALUES ('\\x{}', 1, 0)",
        hexadecimal(2)
    );
    let lock = format!("UPDATE {table} SET expires = expires WHERE id = '\\x{}'", hexadecimal(1));
    other.execute(cloakroom::sql::sqlx::AssertSqlSafe(insert)).await.unwrap();
    let rotate =
        Commit::rotate(key(1), Some(expected), key(2), draft("new"), SystemClock.now() + HOUR);
    let rotating = tokio::spawn({
        let store = store.clone();
        async move { store.commit(rotate).await }
    });
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' \
                 AND datname = current_database()";
    place.wait_for(waits, "1").await;
    other.execute(cloakroom::sql::sqlx::AssertSqlSafe(lock)).await.unwrap();
    other.execute("ROLLBACK").await.unwrap();
    done(rotating.await.unwrap());
    assert_eq!(live(&*store, key(2)).await.0, "new");
    let name = place.url.rsplit('/').next().unwrap();
    let deadlocks = format!("SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = '{name}'");
    drop(other);
    place.wait_for(&deadlocks, "t").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_on_mariadb_that_a_deadlock_undid_is_tried_again() {
    let place = Place::new(Database::MariaDb);
    for is_shared in [false, true] {
        let store = if is_shared {
            shared_mariadb(&place, Arc::new(SystemClock)).await
        } else {
            place.store()
        };
        let numbers = if is_shared { [1, 2] } else { [11, 12] };
        let expected = create(&*store, numbers[0], "old").await;
        let [from, to] = numbers.map(key);
        let mut other = MySqlConnection::connect(&place.url).await.unwrap();
        // The server undoes the transaction that has changed less.
        let begin = format!(
            "BEGIN; INSERT INTO cloakroom_sessions (id, revision, expires) \
             SELECT CONCAT(x'ff', LEFT(UNHEX(SHA2(seq, 256)), 31)), 1, 0 FROM seq_1_to_50; \
             INSERT INTO cloakroom_sessions (id, revision, expires) VALUES (x'{}', 1, 0)",
            hexadecimal(numbers[1])
        );
        other.execute(cloakroom::sql::sqlx::AssertSqlSafe(begin)).await.unwrap();
        let until = SystemClock.now() + HOUR;
        let rotate = Commit::rotate(from, Some(expected), to, draft("new"), until);
        let rotating = tokio::spawn({
            let store = store.clone();
            async move { store.commit(rotate).await }
        });
        // The table of transactions would be the one of an earlier moment for as long as anyone reads it
        // more often than every 100 ms.
        let waits = "SELECT variable_value > 0 FROM information_schema.global_status \
                     WHERE variable_name = 'innodb_row_lock_current_waits'";
        place.wait_for(waits, "1").await;
        let lock = format!(
            "UPDATE cloakroom_sessions SET expires = expires + 1 WHERE id = x'{}'",
            hexadecimal(numbers[0])
        );
        other.execute(cloakroom::sql::sqlx::AssertSqlSafe(lock)).await.unwrap();
        other.execute("ROLLBACK").await.unwrap();
        done(rotating.await.unwrap());
        assert_eq!(live(&*store, to).await.0, "new");
        assert_eq!(tombstone(&*store, from).await, Some(to));
    }
}

/// A transaction that failed has locked the old row. The connection must not keep this lock while it is
/// idle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_that_failed_leaves_no_lock() {
    let place = Place::new(Database::MariaDb);
    let store = place.store();
    let expected = create(&*store, 1, "old").await;
    let mut other = MySqlConnection::connect(&place.url).await.unwrap();
    let insert = format!(
        "BEGIN; INSERT INTO cloakroom_sessions (id, revision, expires) VALUES (x'{}', 1, 0)",
        hexadecimal(2)
    );
    other.execute(cloakroom::sql::sqlx::AssertSqlSafe(insert)).await.unwrap();
    let settings = Settings { query_timeout: Duration::from_secs(5), ..Settings::default() };
    let impatient = place.store_with(&settings);
    let until = SystemClock.now() + HOUR;
    let rotate = Commit::rotate(key(1), Some(expected), key(2), draft("new"), until);
    let began = Instant::now();
    let error = impatient.commit(rotate).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    tokio::time::timeout(Duration::from_secs(3), overwrite(&*store, key(1), "free"))
        .await
        .expect("the row is locked by a connection that does nothing");
    other.execute("ROLLBACK").await.unwrap();
    assert_eq!(live(&*store, key(1)).await.0, "free");
}

fn hexadecimal(number: u64) -> String {
    key(number).as_bytes().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
