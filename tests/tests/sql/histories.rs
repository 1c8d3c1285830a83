//! Sixteen clients on a few records: their replies are possible one step at a time.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use cloakroom::store::{Revision, Store};
use cloakroom_tests::{
    history::{Operation, Told, is_linearizable, step},
    proxy::{Fault, FaultProxy},
};
use fastrand::Rng;

use super::{Database, Place, Settings, create, key};

const CLIENTS: u64 = 16;
const KEYS: u64 = 3;
const STEPS: u64 = 16;

/// The operations on each key.
type Histories = BTreeMap<u64, Vec<Operation>>;

fn settings() -> Settings {
    Settings { pool_size: 1, migrates: false, ..Settings::default() }
}

async fn check(database: Database, rounds: u64) {
    let place = Place::new(database);
    create(&*place.store(), 0, "0").await;
    let stores: Vec<Arc<dyn Store>> =
        (0..CLIENTS).map(|_| place.store_with(&settings()) as Arc<dyn Store>).collect();
    for round in 1..=rounds {
        let (histories, unknown) = record(&stores, round).await;
        assert_eq!(unknown, 0, "{database:?}");
        assert_linearizable(database, round, histories);
    }
}

fn assert_linearizable(database: Database, round: u64, histories: Histories) {
    for history in histories.into_values() {
        assert!(is_linearizable(&history), "{database:?}, round {round}: {history:?}");
    }
}

/// Half of the clients lose replies and then their connections, once in each round.
async fn check_breaking(database: Database, rounds: u64) {
    let place = Place::new(database);
    create(&*place.store(), 0, "0").await;
    let proxy = FaultProxy::start(place.address()).await;
    let stores: Vec<Arc<dyn Store>> = (0..CLIENTS)
        .map(|client| {
            let url =
                if client % 2 == 0 { place.url.clone() } else { place.url_at(proxy.address()) };
            database.open(&url, &settings()) as Arc<dyn Store>
        })
        .collect();
    let mut random = Rng::with_seed(3);
    let mut all_unknown = 0;
    for round in 1..=rounds {
        let breaking = async {
            tokio::time::sleep(Duration::from_micros(random.u64(..8_000))).await;
            let fault = if random.bool() { Fault::BlackHole } else { Fault::Unheard };
            proxy.set(fault);
            tokio::time::sleep(Duration::from_micros(random.u64(..1_000))).await;
            proxy.start_over();
        };
        let (histories, unknown) = tokio::join!(record(&stores, round), breaking).0;
        assert_linearizable(database, round, histories);
        all_unknown += unknown;
    }
    println!("{database:?}: {all_unknown} unknown outcomes in {rounds} rounds");
    assert!(all_unknown > 0 && all_unknown < 8 * rounds, "{all_unknown} in {rounds} rounds");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_clients_are_told_is_linearizable() {
    for database in Database::ALL {
        check(database, 25).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_over_breaking_connections_are_linearizable() {
    for database in Database::SERVERS {
        check_breaking(database, 15).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn a_thousand_rounds_of_histories_are_linearizable() {
    for database in Database::ALL {
        check(database, 1_000).await;
    }
    for database in Database::SERVERS {
        check_breaking(database, 1_000).await;
    }
}

/// Has every client do random things to the records at the same time. Returns what they were told, and
/// how many of their steps ended with an error.
async fn record(stores: &[Arc<dyn Store>], round: u64) -> (Histories, u64) {
    let ticks = Arc::new(AtomicU64::new(0));
    let clients: Vec<_> = (0..)
        .zip(stores)
        .map(|(client, store)| {
            let random = Rng::with_seed(round * 1_000 + client);
            tokio::spawn(client_of(store.clone(), round * KEYS, random, ticks.clone()))
        })
        .collect();
    let (mut histories, mut unknown) = (Histories::new(), 0);
    for client in clients {
        let (operations, errors) = client.await.unwrap();
        unknown += errors;
        for (number, operation) in operations {
            histories.entry(number).or_default().push(operation);
        }
    }
    (histories, unknown)
}

async fn client_of(
    store: Arc<dyn Store>,
    first: u64,
    mut random: Rng,
    ticks: Arc<AtomicU64>,
) -> (Vec<(u64, Operation)>, u64) {
    let mut known = BTreeMap::<u64, Revision>::new();
    let (mut operations, mut unknown) = (Vec::new(), 0);
    for _ in 0..STEPS {
        let (number, dice) = (first + random.u64(..KEYS), random.u64(..100));
        tokio::time::sleep(Duration::from_micros(random.u64(..300))).await;
        let known = known.entry(number).or_default();
        let invoked = ticks.fetch_add(1, Ordering::SeqCst);
        let expected = *known;
        let told = step(&*store, key(number), dice, known).await;
        let returned = ticks.fetch_add(1, Ordering::SeqCst);
        let told = told.or_else(|error| {
            assert!(error.is_unavailable(), "{error:?}");
            unknown += 1;
            match dice {
                0..20 => Ok(Told::MaybeCreated),
                20..50 => Err(error),
                50..98 => Ok(Told::MaybeReplaced(expected)),
                _ => Ok(Told::MaybeDestroyed),
            }
        });
        if let Ok(told) = told {
            operations.push((number, Operation { invoked, returned, told }));
        }
    }
    (operations, unknown)
}
