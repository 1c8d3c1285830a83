//! The conformance suite on every store here, as value and behind pointers.
#![cfg(feature = "conformance")]

use std::sync::Arc;

use cloakroom::{
    MemoryStore,
    clock::FakeClock,
    conformance,
    store::{Store, Sweep},
};

fn memory() -> (MemoryStore, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::default());
    (MemoryStore::with_clock(clock.clone()), clock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_memory_store_conforms_as_value_box_and_arc() {
    let (store, clock) = memory();
    let rules = conformance::check(Arc::new(store), &*clock).await;
    let (store, clock) = memory();
    let boxed: Box<dyn Store> = Box::new(store);
    assert_eq!(conformance::check(Arc::new(boxed), &*clock).await, rules);
    let (store, clock) = memory();
    let shared: Arc<dyn Store> = Arc::new(store);
    assert_eq!(conformance::check(shared, &*clock).await, rules);
    println!("rules: {rules}, broken 0, as value, Box<dyn> and Arc<dyn>");
}

/// No unbounded growth: sessions that expire are dropped by those that come, without a sweep.
#[tokio::test]
async fn the_memory_store_sweeps_itself() {
    use cloakroom::store::{Commit, Draft, RecordKey};
    let (store, clock) = memory();
    let mut number = 0_u64;
    let mut most_swept = 0;
    for _ in 0..50 {
        for _ in 0..2_000 {
            number += 1;
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
            let now = cloakroom::clock::Clock::now(&*clock);
            let record = Draft::new("x", now, std::time::Duration::from_mins(1));
            store.commit(Commit::Create { key: RecordKey::from_bytes(key), record }).await.unwrap();
        }
        clock.advance(std::time::Duration::from_mins(1));
        assert!(store.is_empty());
    }
    loop {
        let swept = store.sweep(usize::MAX).await.unwrap();
        most_swept += swept.removed;
        if swept.finished {
            break;
        }
    }
    assert!(most_swept < 10_000, "{most_swept} dead entries were still there of {number}");
    println!("created {number}, dead entries left {most_swept}");
}
