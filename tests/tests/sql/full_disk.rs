//! A disk without room, for SQLite.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use cloakroom::{
    clock::{Clock, SystemClock},
    sql::{
        SqliteStore,
        sqlx::{AssertSqlSafe, SqlitePool, raw_sql, sqlite::SqlitePoolOptions},
    },
    store::{Commit, Outcome, Store, StoreError},
};

use super::{Database, HOUR, Place, TASK, create, done, draft, key, live, shown, task, tombstone};

const BYTES: usize = 2_000;

fn text(number: u64) -> String {
    format!("{number:0BYTES$}")
}

/// Fills the store until it refuses. Returns how many records it has, and the error.
async fn fill(store: &dyn Store) -> (u64, StoreError) {
    for number in 0..10_000 {
        match store.commit(Commit::create(key(number), draft(text(number)))).await {
            Ok(outcome) => assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}"),
            Err(error) => return (number, error),
        }
    }
    panic!("the disk is not full");
}

/// Has a store fill its disk, and then `room` is made.
async fn check(store: &dyn Store, room: impl AsyncFnOnce()) {
    create(store, 20_000, "small").await;
    let (count, error) = fill(store).await;
    assert!(count > 20, "{count}");
    assert!(error.is_unavailable(), "{}", shown(&error));
    assert!(shown(&error).contains("full"), "{}", shown(&error));
    let until = SystemClock.now() + HOUR;
    // None of the connections is left in a bad state.
    for round in 0..12 {
        let (from, to) = (key(round), key(30_000 + round));
        let (_, expected) = live(store, from).await;
        let rotate = Commit::rotate(from, Some(expected), to, draft("x".repeat(8 * BYTES)), until);
        let error = store.commit(rotate).await.unwrap_err();
        assert!(error.is_unavailable(), "{}", shown(&error));
        assert!(store.load(&to).await.unwrap().is_none(), "half of a rotation");
        let replace = Commit::replace(from, expected, draft("x".repeat(20 * BYTES)));
        let error = store.commit(replace).await.unwrap_err();
        assert!(error.is_unavailable(), "{}", shown(&error));
    }
    for number in 0..count {
        assert_eq!(live(store, key(number)).await.0, text(number));
    }
    assert_eq!(live(store, key(20_000)).await.0, "small");
    room().await;
    for number in 0..12 {
        let (from, to) = (key(number), key(30_000 + number));
        let (_, expected) = live(store, from).await;
        let rotate = Commit::rotate(from, Some(expected), to, draft(text(number)), until);
        done(store.commit(rotate).await);
        assert_eq!(tombstone(store, from).await, Some(to));
        assert_eq!(live(store, to).await.0, text(number));
    }
    done(store.commit(Commit::destroy(key(20_000), until)).await);
    create(store, 40_000, &text(1)).await;
    assert_eq!(tombstone(store, key(20_000)).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_with_all_its_pages_loses_nothing_and_heals() {
    let place = Place::new(Database::Sqlite);
    place.store().migrate().await.unwrap();
    let pool: SqlitePool =
        SqlitePoolOptions::new().max_connections(1).connect(&place.url).await.unwrap();
    let limit = async |pages: u32| {
        let pragma = format!("PRAGMA max_page_count = {pages}");
        raw_sql(AssertSqlSafe(pragma)).execute(&pool).await.unwrap();
    };
    limit(100).await;
    let store = SqliteStore::new(pool.clone()).unwrap();
    // A connection that is closed after a failure comes back without the limit.
    create(&store, 20_000, "small").await;
    let (count, error) = fill(&store).await;
    assert!(count > 20 && error.is_unavailable(), "{}", shown(&error));
    assert!(shown(&error).contains("full"), "{}", shown(&error));
    for number in 0..count {
        assert_eq!(live(&store, key(number)).await.0, text(number));
    }
    limit(1_000).await;
    create(&store, count, &text(count)).await;
    done(store.commit(Commit::destroy(key(20_000), SystemClock.now() + HOUR)).await);
}

/// On a disk of two megabytes, in a separate namespace.
#[test]
fn a_full_disk_loses_nothing_and_heals() {
    const NAME: &str = "full_disk::a_full_disk_loses_nothing_and_heals";
    if let Some(folder) = task() {
        return super::place::in_thread(on_a_small_disk(Path::new(&folder)));
    }
    let folder = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let mount = "mount -t tmpfs -o size=2m tmpfs \"$1\" && exec \"$0\" --exact \"$2\" --nocapture";
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.args([mount, program.to_str().unwrap(), folder.path().to_str().unwrap(), NAME]);
    let can_mount = Command::new("unshare")
        .args(["--map-root-user", "--mount", "sh", "-c", "mount -t tmpfs tmpfs \"$0\""])
        .arg(folder.path())
        .status();
    if !can_mount.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this user may not mount a disk in a namespace");
        return;
    }
    let status = command.env(TASK, folder.path()).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
}

async fn on_a_small_disk(folder: &Path) {
    let filler = folder.join("filler");
    fs::write(&filler, vec![1; 900_000]).unwrap();
    let url = format!("sqlite:{}", folder.join("app.db").display());
    let store = SqliteStore::at(&url).unwrap().migrate(true).sweep_budget(None).build().unwrap();
    check(&store, async || fs::remove_file(&filler).unwrap()).await;
    drop(store);
    // What is on the disk is whole.
    let store = SqliteStore::at(&url).unwrap().build().unwrap();
    assert_eq!(live(&store, key(40_000)).await.0, text(1));
}
