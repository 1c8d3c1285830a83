//! The plans of the statements on PostgreSQL.

use std::{sync::Arc, time::Duration};

use cloakroom::{
    clock::FakeClock,
    clock::{Clock, SystemClock},
    sql::{PgStatements, PostgresStore},
    store::{Commit, Cursor, Draft, OwnerIndex, OwnerKey, Scan, Store, Sweep},
};
use cloakroom_tests::databases::PostgresServer;

use super::{HOUR, done, key, live};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_reads_the_whole_table() {
    let server = PostgresServer::start_with(&[
        "session_preload_libraries=auto_explain",
        "auto_explain.log_min_duration=0",
    ]);
    for statements in [PgStatements::Prepared, PgStatements::Simple] {
        let url = server.database();
        let clock = Arc::new(FakeClock::default());
        let store = PostgresStore::at(&url).unwrap().statements(statements);
        let store = store.clock(clock.clone()).sweep_budget(None).pool_size(1).build().unwrap();
        store.migrate().await.unwrap();
        let now = clock.now().as_millis();
        cloakroom_tests::databases::psql(
            &url,
            &format!(
                "INSERT INTO cloakroom_sessions (id, revision, expires, owner, record) \
                 SELECT sha256(n::text::bytea), n, {now} + n, sha256((n % 2000)::text::bytea), \
                 convert_to(repeat('x', 300), 'UTF8') FROM generate_series(1, 20000) AS n"
            ),
        );
        cloakroom_tests::databases::psql(&url, "ANALYZE cloakroom_sessions");
        let before = server.log().len();
        // A prepared statement may get another plan after five times.
        for number in 0..12 {
            let owner = OwnerKey::of("user-42");
            let draft = Draft::new("values", clock.now(), HOUR).with_owner(owner);
            let until = clock.now() + HOUR;
            let expected = done(store.commit(Commit::create(key(2 * number), draft.clone())).await);
            let touch = Commit::touch(key(2 * number), expected, until);
            done(store.commit(touch).await);
            let replace = Commit::replace(key(2 * number), expected, draft.clone());
            let expected = done(store.commit(replace).await);
            let (from, to) = (key(2 * number), key(2 * number + 1));
            done(store.commit(Commit::rotate(from, Some(expected), to, draft, until)).await);
            live(&store, to).await;
            store.keys_of(&owner, Cursor::default(), 10).await.unwrap();
            store.keys_with_tag(&owner, to.tag()).await.unwrap();
            store.scan(Cursor::default()).await.unwrap();
            store.sweep(80).await.unwrap();
            done(store.commit(Commit::destroy(to, until)).await);
        }
        let log = server.log().split_off(before);
        let plans = log.matches("Query Text:").count();
        assert!(plans > 100, "{plans} plans");
        let whole = log.lines().find(|line| line.contains("Seq Scan on cloakroom_sessions "));
        assert_eq!(whole, None, "{statements:?}");
        let pieces = log.lines().filter(|line| line.contains("Tid Range Scan")).count();
        assert!(pieces >= 24, "{statements:?}: {pieces} scans of a range of pages");
    }
}

/// An update in place writes no entry of an index.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn touches_and_replaces_are_updates_in_place() {
    let url = PostgresServer::shared().database();
    let store = PostgresStore::at(&url).unwrap().sweep_budget(None).build().unwrap();
    store.migrate().await.unwrap();
    let draft = |text: &str| {
        let draft = Draft::new(text.repeat(60), SystemClock.now(), HOUR);
        draft.with_owner(OwnerKey::of("user-42"))
    };
    for number in 0..100 {
        let mut expected = done(store.commit(Commit::create(key(number), draft("first"))).await);
        for _ in 0..3 {
            let touch = Commit::touch(key(number), expected, SystemClock.now() + 2 * HOUR);
            done(store.commit(touch).await);
            let replace = Commit::replace(key(number), expected, draft("other"));
            expected = done(store.commit(replace).await);
        }
    }
    // The server counts when the connections end.
    drop(store);
    let counts = "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables \
                  WHERE relname = 'cloakroom_sessions'";
    let mut updates = (0, 0);
    for _ in 0..200 {
        let found = cloakroom_tests::databases::psql(&url, counts);
        let (all, in_place) = found.split_once('|').unwrap();
        updates = (all.parse().unwrap(), in_place.parse::<u32>().unwrap());
        if updates.0 == 600 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(updates.0, 600);
    assert!(updates.1 >= 590, "{} of {} updates were in place", updates.1, updates.0);
}
