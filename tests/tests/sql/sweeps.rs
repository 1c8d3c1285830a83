//! The sweep: what goes, what stays, and who sweeps.
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cloakroom::{
    clock::{Clock, FakeClock},
    sql::{
        PgStatements, SweepBudget,
        sqlx::{AssertSqlSafe, Connection, Executor, PgConnection},
    },
    store::{Commit, Draft, Entry, Outcome, Store, StoreError, SweepProgress, SweepRound},
};

use super::{Database, HOUR, Place, Settings, done, key};

const MINUTE: Duration = Duration::from_mins(1);

fn by(clock: &Arc<FakeClock>) -> Settings {
    Settings { clock: clock.clone(), ..Settings::default() }
}

/// Creates records that expire after `idle`.
async fn fill(store: &dyn Store, numbers: std::ops::Range<u64>, clock: &FakeClock, idle: Duration) {
    for number in numbers {
        let draft = Draft::new(format!("{number:01000}"), clock.now(), idle);
        done(store.commit(Commit::create(key(number), draft)).await);
    }
}

async fn sweep(store: &dyn Store, limit: usize) -> Result<SweepProgress, StoreError> {
    store.as_sweep().unwrap().sweep(limit).await
}

/// Sweeps a whole round. Returns how many rows were seen and removed.
async fn round(store: &dyn Store, limit: usize) -> (usize, usize) {
    let (mut seen, mut removed) = (0, 0);
    loop {
        let progress = sweep(store, limit).await.unwrap();
        assert_ne!(progress.round, SweepRound::Busy);
        (seen, removed) = (seen + progress.seen, removed + progress.removed);
        if progress.is_finished() {
            return (seen, removed);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_rows_go_and_live_ones_stay() {
    for database in Database::ALL {
        for limit in [1, 7, 100, usize::MAX] {
            let clock = Arc::new(FakeClock::default());
            let place = Place::new(database);
            let store = place.store_with(&by(&clock));
            fill(&*store, 0..40, &clock, MINUTE).await;
            fill(&*store, 40..80, &clock, HOUR).await;
            let tombstone = clock.now() + MINUTE;
            for number in 40..50 {
                done(store.commit(Commit::destroy(key(number), tombstone)).await);
            }
            assert_eq!(round(&*store, limit).await, (80, 0), "{database:?}");
            clock.advance(MINUTE);
            assert_eq!(round(&*store, limit).await, (80, 50), "{database:?}, {limit}");
            assert_eq!(place.rows(), 30);
            assert_eq!(round(&*store, limit).await, (30, 0), "{database:?}, {limit}");
            clock.advance(HOUR);
            assert_eq!(round(&*store, limit).await, (30, 30), "{database:?}, {limit}");
        }
    }
}

/// The writers' clock is one moment before the deadline, and the sweeper's one moment after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_written_in_this_instant_stay() {
    const ROWS: u64 = 300;
    for database in Database::ALL {
        let (early, late) = (Arc::new(FakeClock::default()), Arc::new(FakeClock::default()));
        let place = Place::new(database);
        let (writer, sweeper) = (place.store_with(&by(&early)), place.store_with(&by(&late)));
        fill(&*writer, 0..ROWS, &early, MINUTE).await;
        early.advance(MINUTE.saturating_sub(Duration::from_millis(1)));
        late.advance(MINUTE + Duration::from_millis(1));
        let tasks: Vec<_> = (0..3)
            .map(|task| {
                let (writer, now) = (writer.clone(), early.now());
                tokio::spawn(async move {
                    let mut written = Vec::new();
                    for number in (0..ROWS).filter(|number| number % 3 == task) {
                        let Some(Entry::Live(stored)) = writer.load(&key(number)).await.unwrap()
                        else {
                            continue;
                        };
                        let draft = Draft::new(number.to_string(), now, HOUR);
                        let commit = match number % 2 {
                            0 => Commit::touch(key(number), stored.revision, now + HOUR),
                            _ => Commit::replace(key(number), stored.revision, draft),
                        };
                        match writer.commit(commit).await.unwrap() {
                            Outcome::Done(_) => written.push(number),
                            Outcome::Gone => {}
                            other => panic!("{other:?}"),
                        }
                    }
                    written
                })
            })
            .collect();
        let mut removed = 0;
        while !tasks.iter().all(tokio::task::JoinHandle::is_finished) {
            let progress = sweep(&*sweeper, 16).await.unwrap();
            removed += progress.removed;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let mut written = 0;
        for task in tasks {
            for number in task.await.unwrap() {
                let found = sweeper.load(&key(number)).await.unwrap();
                assert!(matches!(found, Some(Entry::Live(_))), "{database:?}: {number} was swept");
                written += 1;
            }
        }
        removed += round(&*sweeper, 16).await.1;
        assert_eq!((written + removed, place.rows()), (300, written), "{database:?}");
        assert!(written > 0, "{database:?}: {written} written, {removed} removed");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_sweeps_at_a_time_and_a_killed_one_is_followed() {
    for database in Database::KINDS {
        let clock = Arc::new(FakeClock::default());
        let place = Place::new(database);
        let (one, two) = (place.store_with(&by(&clock)), place.store_with(&by(&clock)));
        fill(&*one, 0..200, &clock, HOUR).await;
        let first = sweep(&*one, 8).await.unwrap();
        assert_eq!(first.round, SweepRound::Ongoing, "{database:?}");
        assert_eq!(sweep(&*two, 8).await.unwrap(), SweepProgress::new(0, 0, SweepRound::Busy));
        // The one that sweeps renews its lease as it goes on.
        for _ in 0..6 {
            clock.advance(Duration::from_secs(25));
            assert_eq!(sweep(&*one, 8).await.unwrap().round, SweepRound::Ongoing);
            assert_eq!(sweep(&*two, 8).await.unwrap().round, SweepRound::Busy);
        }
        // It is gone in the middle of its round.
        clock.advance(Duration::from_secs(59));
        assert_eq!(sweep(&*two, 8).await.unwrap().round, SweepRound::Busy);
        clock.advance(Duration::from_secs(2));
        assert_eq!(sweep(&*two, 8).await.unwrap().round, SweepRound::Ongoing, "{database:?}");
        // It was not, and has lost the lease.
        assert_eq!(sweep(&*one, 8).await.unwrap().round, SweepRound::Busy);
        round(&*two, 1_000).await;
        assert_eq!(sweep(&*one, 8).await.unwrap().round, SweepRound::Ongoing, "a round of its own");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_others_have_locked_are_left_to_the_next_round() {
    for statements in [PgStatements::Prepared, PgStatements::Simple] {
        let clock = Arc::new(FakeClock::default());
        let place = Place::new(Database::Postgres(statements));
        let store = place.store_with(&by(&clock));
        fill(&*store, 0..50, &clock, MINUTE).await;
        clock.advance(HOUR);
        let mut other = PgConnection::connect(&place.url).await.unwrap();
        other.execute("BEGIN").await.unwrap();
        let lock = "SELECT 1 FROM cloakroom_sessions ORDER BY id LIMIT 10 FOR UPDATE";
        other.execute(AssertSqlSafe(lock)).await.unwrap();
        let began = Instant::now();
        assert_eq!(round(&*store, 1_000).await, (50, 40));
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
        other.execute("ROLLBACK").await.unwrap();
        assert_eq!(round(&*store, 1_000).await, (10, 10));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_task_in_the_background_sweeps_and_ends_with_the_store() {
    for database in Database::KINDS {
        let clock = Arc::new(FakeClock::default());
        let place = Place::new(database);
        fill(&*place.store_with(&by(&clock)), 0..30, &clock, MINUTE).await;
        clock.advance(HOUR);
        let budget = SweepBudget { pause: Duration::from_millis(50), ..SweepBudget::default() };
        let store = place.store_with(&Settings { sweeps: Some(budget), ..by(&clock) });
        // The first use starts it.
        assert_eq!(store.load(&key(0)).await.unwrap(), None);
        let began = Instant::now();
        while place.rows() > 0 {
            assert!(began.elapsed() < Duration::from_secs(5), "{database:?}: {}", place.rows());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let others = Arc::downgrade(&store);
        drop(store);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(others.upgrade().is_none());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn a_million_rows_are_swept_at_this_speed() {
    const ROWS: u64 = 1_000_000;
    for database in Database::KINDS {
        let place = Place::new(database);
        let store = place.store();
        store.migrate().await.unwrap();
        place.fill(ROWS, "n % 2 = 0");
        for pieces in [1_000, 6_400] {
            let began = Instant::now();
            let (seen, removed) = round(&*store, pieces).await;
            let took = began.elapsed();
            println!(
                "{database:?}, pieces of {pieces}: saw {seen} and removed {removed} rows in {took:.1?}: \
                 {:.0} rows/s",
                seen as f64 / took.as_secs_f64()
            );
        }
        assert_eq!(place.rows(), 500_000, "{database:?}");
    }
}
