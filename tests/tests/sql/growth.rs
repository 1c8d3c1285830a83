//! Size and speed of a table of PostgreSQL while it grows and its rows are touched.
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cloakroom::{
    clock::{Clock, SystemClock},
    sql::PgStatements,
    store::{Commit, RecordKey, Revision, Store},
};

use super::{Database, HOUR, Place, done, live, place::SqlTables};

/// Makes a table with so many rows, none of which has expired.
async fn table(rows: u64) -> (Place, Arc<dyn SqlTables>) {
    let place = Place::new(Database::Postgres(PgStatements::Prepared));
    let store = place.store();
    store.migrate().await.unwrap();
    place.fill(rows, "false");
    (place, store)
}

/// Returns the keys and the revisions of so many rows, in a random order.
fn some_rows(place: &Place, count: u64) -> Vec<(RecordKey, Revision)> {
    let rows = place.sql(&format!(
        "SELECT encode(id, 'hex'), revision FROM cloakroom_sessions ORDER BY random() LIMIT {count}"
    ));
    let row = |row: &str| {
        let (key, revision) = row.split_once('|').unwrap();
        let byte = |at: usize| u8::from_str_radix(&key[2 * at..2 * at + 2], 16).unwrap();
        let key = RecordKey::from_bytes(std::array::from_fn(byte));
        (key, Revision(revision.parse().unwrap()))
    };
    rows.lines().map(row).collect()
}

/// Returns how long a load takes.
async fn time_load(store: &dyn Store, key: RecordKey) -> Duration {
    let began = Instant::now();
    live(store, key).await;
    began.elapsed()
}

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

/// The loads take turns, so that what else the machine does slows both alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn loads_among_a_million_rows_take_as_long_as_among_a_thousand() {
    let (few, store_of_few) = table(1_000).await;
    let (many, store_of_many) = table(1_000_000).await;
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let [few, many] = [some_rows(&few, 1_000), some_rows(&many, 20_000)];
        let (mut among_few, mut among_many) = (Vec::new(), Vec::new());
        for ((one, _), (other, _)) in few.iter().cycle().zip(&many) {
            among_few.push(time_load(&*store_of_few, *one).await);
            among_many.push(time_load(&*store_of_many, *other).await);
        }
        let (among_few, among_many) = (p99(among_few), p99(among_many));
        println!("load p99 {among_few:?} among 1,000 rows, {among_many:?} among 1,000,000");
        ratios.push(among_many.as_secs_f64() / among_few.as_secs_f64());
    }
    ratios.sort_by(f64::total_cmp);
    println!("load p99 among 1,000,000 rows of PostgreSQL beside 1,000: ratios {ratios:.2?}");
    assert!(ratios[2] <= 1.5, "{ratios:?}");
}

/// Returns the bytes of the table and of its indexes.
fn sizes(place: &Place) -> [u64; 2] {
    ["pg_table_size", "pg_indexes_size"]
        .map(|size| place.sql(&format!("SELECT {size}('cloakroom_sessions')")).parse().unwrap())
}

/// Touches the rows ten times, in four tasks.
async fn touch_ten_times(store: Arc<dyn SqlTables>, rows: &[(RecordKey, Revision)]) {
    let mut tasks = tokio::task::JoinSet::new();
    for rows in rows.chunks(rows.len().div_ceil(4)).map(<[_]>::to_vec) {
        let store = store.clone();
        tasks.spawn(async move {
            for _ in 0..10 {
                for (key, revision) in &rows {
                    let until = SystemClock.now() + 2 * HOUR;
                    done(store.commit(Commit::touch(*key, *revision, until)).await);
                }
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn a_million_touches_leave_table_and_indexes_as_small_as_they_were() {
    const ROWS: u64 = 100_000;
    const TOUCHES: u64 = 10 * ROWS;
    let (place, store) = table(ROWS).await;
    let before = sizes(&place);
    let began = Instant::now();
    touch_ten_times(store, &some_rows(&place, ROWS)).await;
    let rate = TOUCHES as f64 / began.elapsed().as_secs_f64();
    // The server counts when the connections have ended.
    let count = |column: &str| {
        format!("SELECT {column} FROM pg_stat_user_tables WHERE relname = 'cloakroom_sessions'")
    };
    place.wait_for(&count("n_tup_upd"), &TOUCHES.to_string()).await;
    let in_place: u64 = place.sql(&count("n_tup_hot_upd")).parse().unwrap();
    let after = sizes(&place);
    println!(
        "{TOUCHES} touches of {ROWS} rows in PostgreSQL: {rate:.0}/s, {in_place} in place, bytes of table \
         and indexes {before:?} before and {after:?} after"
    );
    assert!(in_place >= TOUCHES * 99 / 100, "{in_place}");
    assert!(after[0] <= before[0] * 105 / 100 && after[1] <= before[1] * 101 / 100);
}
