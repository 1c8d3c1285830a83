//! The example on real servers.

use std::sync::Arc;

use cloakroom::{
    conformance::{self, RealTime},
    store::{Commit, Draft, Outcome, Store},
};
use cloakroom_tests::memcached::MemcachedServer;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

fn cells(server: &MemcachedServer) -> Memcached {
    Memcached { address: server.address().to_string(), ..Memcached::default() }
}

fn key(number: u8) -> RecordKey {
    RecordKey::from_bytes([number; 32])
}

fn draft(text: &'static str) -> Draft {
    Draft::new(text, SystemClock.now(), HOUR)
}

#[test]
fn the_example_is_short() {
    let lines = include_str!("../memcached.rs").lines().count();
    assert!(lines <= 120, "{lines} lines");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memcached_conforms() {
    let server = MemcachedServer::start(&[]);
    let store = CellStore::new(cells(&server));
    let rules = conformance::check(Arc::new(store), &RealTime).await;
    assert!(rules > 25, "{rules}");
}

/// Several stores have connections of their own, as several processes do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_is_final_for_other_processes() {
    let server = MemcachedServer::start(&[]);
    let [slow, other] = [(); 2].map(|()| CellStore::new(cells(&server)));
    let created = slow.commit(Commit::create(key(1), draft("first"))).await.unwrap();
    let Outcome::Done(revision) = created else { panic!("the key was free") };
    let tombstone = SystemClock.now() + HOUR;
    let rotate = Commit::rotate(key(1), Some(revision), key(2), draft("rotated"), tombstone);
    assert!(matches!(other.commit(rotate).await.unwrap(), Outcome::Done(_)));
    let destroy = Commit::destroy(key(2), tombstone);
    assert!(matches!(other.commit(destroy).await.unwrap(), Outcome::Done(_)));
    for late in [1, 2] {
        let late = Commit::replace(key(late), revision, draft("late"));
        assert_eq!(slow.commit(late).await.unwrap(), Outcome::Gone);
    }
}

#[tokio::test]
async fn a_deleted_cell_is_free_and_another_version_is_not_deleted() {
    let server = MemcachedServer::start(&[]);
    let (cells, deadline) = (cells(&server), SystemClock.now() + HOUR);
    let insert = || Swap::insert("bytes", deadline);
    assert_eq!(cells.swap(&key(1), insert()).await.unwrap(), Swapped::Done);
    let version = cells.read(&key(1)).await.unwrap().unwrap().version;
    let other = cells.swap(&key(1), Swap::delete(version + 1)).await.unwrap();
    assert_eq!(other, Swapped::Differs);
    assert_eq!(cells.swap(&key(1), Swap::delete(version)).await.unwrap(), Swapped::Done);
    assert!(cells.read(&key(1)).await.unwrap().is_none());
    assert_eq!(cells.swap(&key(1), insert()).await.unwrap(), Swapped::Done);
}

#[tokio::test]
async fn errors_say_whether_the_same_call_may_succeed_later() {
    let mut server = MemcachedServer::start(&[]);
    let (cells, deadline) = (cells(&server), SystemClock.now() + HOUR);
    let too_large = cells.swap(&key(1), Swap::insert(vec![b'x'; 2_000_000], deadline)).await;
    assert!(!too_large.unwrap_err().is_unavailable());
    let stored = cells.swap(&key(1), Swap::insert("x", deadline)).await.unwrap();
    assert_eq!(stored, Swapped::Done);
    server.end();
    assert!(cells.read(&key(1)).await.unwrap_err().is_unavailable());
    server.restart();
    assert!(cells.read(&key(1)).await.unwrap().is_none(), "a restart signs everybody out");
}

/// A request that is dropped while its reply is on its way must not leave it to the next request.
#[tokio::test]
async fn a_dropped_request_leaves_no_reply_to_the_next_one() {
    let server = MemcachedServer::start(&[]);
    let (cells, deadline) = (cells(&server), SystemClock.now() + HOUR);
    for number in [1, 2] {
        let swap = Swap::insert(vec![number; 100_000], deadline);
        cells.swap(&key(number), swap).await.unwrap();
    }
    let (first, second) = (key(1), key(2));
    for _ in 0..100 {
        tokio::select! {
            biased;
            _ = cells.read(&first) => (),
            () = tokio::task::yield_now() => (),
        }
        let found = cells.read(&second).await.unwrap().unwrap();
        assert!(found.bytes == vec![2; 100_000]);
    }
}

#[tokio::test]
async fn a_full_server_signs_visitors_out_without_an_error() {
    let server = MemcachedServer::start(&["-m", "8"]);
    let store = CellStore::new(cells(&server));
    for number in 0..100 {
        let large = Draft::new(vec![number; 200_000], SystemClock.now(), HOUR);
        let created = store.commit(Commit::create(key(number), large)).await.unwrap();
        assert!(matches!(created, Outcome::Done(_)));
    }
    assert_eq!(store.load(&key(0)).await.unwrap(), None);
    assert!(store.load(&key(99)).await.unwrap().is_some());
}

#[test]
fn a_deadline_beyond_thirty_days_is_a_moment() {
    let now = SystemClock.now();
    let day = Duration::from_hours(24);
    assert!((3_600..3_605).contains(&exptime(now + HOUR)));
    assert!(exptime(now + day * 29) < 30 * 24 * 3_600);
    let moment = i64::try_from((now + day * 31).as_millis() / 1_000).unwrap();
    assert!((moment..moment + 5).contains(&exptime(now + day * 31)));
    assert_eq!(exptime(Timestamp::from_millis(u64::MAX)), i64::from(i32::MAX));
}
