//! Which steps wait for the disk.

use std::time::Duration;

use cloakroom::{
    clock::{Clock, SystemClock},
    sql::{PgStatements, PostgresStore},
    store::{Commit, Store},
};
use cloakroom_tests::databases::PostgresServer;

use super::{HOUR, create, done, draft, key};

const STEPS: u64 = 150;

/// Returns how often the server has waited for its log to be on disk.
fn syncs(server: &PostgresServer) -> u64 {
    server.sql("SELECT wal_sync FROM pg_stat_wal").parse().unwrap()
}

/// Runs the steps of a store, one after the other, and returns how often the server waited for the disk.
async fn waits(
    server: &PostgresServer,
    statements: PgStatements,
    steps: impl AsyncFnOnce(&PostgresStore),
) -> u64 {
    let store = PostgresStore::at(&server.url()).unwrap().statements(statements);
    let store = store.pool_size(1).sweep_budget(None).build().unwrap();
    let before = syncs(server);
    steps(&store).await;
    // The server counts when the connection ends.
    drop(store);
    tokio::time::sleep(Duration::from_millis(300)).await;
    syncs(server) - before
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_steps_but_a_touch_wait_for_the_disk() {
    let server = PostgresServer::start_durable();
    let setup = PostgresStore::at(&server.url()).unwrap().sweep_budget(None).build().unwrap();
    setup.migrate().await.unwrap();
    for (base, statements) in [(0, PgStatements::Prepared), (100_000, PgStatements::Simple)] {
        let numbers = || (base..base + 10 * STEPS).step_by(10);
        let mut expected = Vec::new();
        for number in numbers() {
            expected.push(create(&setup, number, "0").await);
        }
        let until = SystemClock.now() + HOUR;
        let touches = waits(&server, statements, async |store| {
            for (number, expected) in numbers().zip(&expected) {
                done(store.commit(Commit::touch(key(number), *expected, until + HOUR)).await);
            }
        });
        let touches = touches.await;
        let replaces = waits(&server, statements, async |store| {
            for (number, expected) in numbers().zip(&mut expected) {
                let replace = Commit::replace(key(number), *expected, draft("1"));
                *expected = done(store.commit(replace).await);
            }
        });
        let replaces = replaces.await;
        let rotations = waits(&server, statements, async |store| {
            for (number, expected) in numbers().zip(&expected) {
                let (from, to) = (key(number), key(number + 1));
                let rotate = Commit::rotate(from, Some(*expected), to, draft("2"), until);
                done(store.commit(rotate).await);
            }
        });
        let rotations = rotations.await;
        let destroys = waits(&server, statements, async |store| {
            for number in numbers() {
                done(store.commit(Commit::destroy(key(number + 1), until)).await);
            }
        });
        let destroys = destroys.await;
        // A process of the server writes by itself now and then.
        assert!(touches < STEPS / 3, "{touches}");
        assert!(replaces >= STEPS && rotations >= STEPS && destroys >= STEPS);
    }
}
