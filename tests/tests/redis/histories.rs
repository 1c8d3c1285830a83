//! Sixteen clients on one record: their replies are possible one step at a time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cloakroom::{
    FileStore,
    file::Durability,
    store::{RecordKey, Revision, Store, StoreError},
};
use cloakroom_tests::{
    history::{Operation, is_linearizable, step},
    proxy::{Fault, FaultProxy},
    redis::RedisServer,
};
use fastrand::Rng;

const CLIENTS: u64 = 16;
const STEPS: u64 = 8;
const HISTORIES: u64 = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_of_redis_are_told_is_linearizable() {
    let server = RedisServer::start();
    let stores: Vec<_> =
        (0..CLIENTS).map(|_| Arc::new(super::store(&server.url())) as Arc<dyn Store>).collect();
    check(&stores).await;
}

/// Half of the clients lose replies and then their connections, once in each history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_over_breaking_connections_are_linearizable() {
    const ROUNDS: u64 = 5 * HISTORIES;
    let server = RedisServer::start();
    let proxy = Arc::new(FaultProxy::start(server.address()).await);
    let url = |client| if client % 2 == 0 { server.url() } else { proxy.url() };
    let stores: Vec<_> =
        (0..CLIENTS).map(|client| Arc::new(super::store(&url(client))) as Arc<dyn Store>).collect();
    let mut random = Rng::with_seed(3);
    let (mut violations, mut undecided) = (0, 0);
    for seed in 0..ROUNDS {
        let breaking = async {
            tokio::time::sleep(Duration::from_micros(random.u64(..4_000))).await;
            proxy.set(Fault::BlackHole);
            tokio::time::sleep(Duration::from_micros(random.u64(..1_000))).await;
            proxy.start_over();
        };
        match tokio::join!(record(&stores, seed), breaking).0 {
            Ok(history) => violations += u64::from(!is_linearizable(&history)),
            // What a write without an outcome did cannot be put into the order.
            Err(error) => {
                assert!(error.is_unavailable(), "{error:?}");
                undecided += 1;
            }
        }
    }
    assert_eq!(violations, 0, "of {ROUNDS} histories, {undecided} of them undecided");
    assert!(undecided < ROUNDS / 2, "{undecided} of {ROUNDS} histories have an error");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_of_files_are_told_is_linearizable() {
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let store = FileStore::builder(folder.path().join("sessions"));
        store.durability(Durability::Fast).sweep_budget(None).open().unwrap()
    };
    // Stores of their own, as in processes of their own: they share the files and no memory.
    let stores: Vec<_> = (0..CLIENTS).map(|_| Arc::new(open()) as Arc<dyn Store>).collect();
    check(&stores).await;
}

async fn check(stores: &[Arc<dyn Store>]) {
    for seed in 0..HISTORIES {
        let history = record(stores, seed).await.unwrap();
        assert!(is_linearizable(&history), "seed {seed}: {history:?}");
    }
}

/// Has every client do random things to one record at the same time.
async fn record(stores: &[Arc<dyn Store>], seed: u64) -> Result<Vec<Operation>, StoreError> {
    let mut bytes = [9; 32];
    bytes[24..].copy_from_slice(&seed.to_be_bytes());
    let key = RecordKey::from_bytes(bytes);
    let ticks = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = stores
        .iter()
        .enumerate()
        .map(|(client, store)| {
            let random = Rng::with_seed(seed * 1_000 + client as u64);
            tokio::spawn(client_of(store.clone(), key, random, ticks.clone()))
        })
        .collect();
    let mut told = Vec::new();
    for client in clients {
        told.push(client.await.unwrap());
    }
    let told: Result<Vec<_>, _> = told.into_iter().collect();
    Ok(told?.concat())
}

async fn client_of(
    store: Arc<dyn Store>,
    key: RecordKey,
    mut random: Rng,
    ticks: Arc<AtomicU64>,
) -> Result<Vec<Operation>, StoreError> {
    let mut known = Revision::default();
    let mut operations = Vec::new();
    for _ in 0..STEPS {
        let dice = random.u64(..) % 100;
        tokio::time::sleep(Duration::from_micros(random.u64(..) % 300)).await;
        let invoked = ticks.fetch_add(1, Ordering::SeqCst);
        let told = step(&*store, key, dice, &mut known).await?;
        let returned = ticks.fetch_add(1, Ordering::SeqCst);
        operations.push(Operation { invoked, returned, told });
    }
    Ok(operations)
}
