//! The Redis store on real servers, healthy and not.

mod cluster;
mod costs;
mod endings;
mod failures;
mod histories;
mod near_cache;
mod neighbours;
mod network;
mod resends;
mod rules;
mod sentinel;
mod tls;

use std::{sync::Arc, time::Duration};

use cloakroom::{
    clock::{Clock, FakeClock, SystemClock},
    redis::{RedisStore, RedisStoreBuilder, Servers},
    store::{Commit, Draft, Entry, Outcome, RecordKey, Revision, Store},
};
use cloakroom_tests::redis::RedisServer;

const HOUR: Duration = Duration::from_hours(1);

/// Settings for a server at a URL.
fn builder(url: &str) -> RedisStoreBuilder {
    RedisStore::builder(Servers::at(url).unwrap())
}

/// A store on a server, by the system's time.
fn store(url: &str) -> RedisStore {
    builder(url).build().unwrap()
}

/// A store that goes by a clock of the test's own.
fn with_clock(server: &RedisServer) -> (RedisStore, Arc<FakeClock>) {
    let clock = Arc::new(FakeClock::default());
    (builder(&server.url()).clock(clock.clone()).build().unwrap(), clock)
}

fn key(number: u64) -> RecordKey {
    let mut bytes = [7; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    RecordKey::from_bytes(bytes)
}

fn draft(text: impl Into<String>) -> Draft {
    Draft::new(text.into(), SystemClock.now(), HOUR)
}

async fn create(store: &RedisStore, number: u64, text: &str) -> Revision {
    let create = Commit::create(key(number), draft(text));
    let Outcome::Done(revision) = store.commit(create).await.unwrap() else { panic!("{number}") };
    revision
}

/// The text of a live record.
async fn text(store: &RedisStore, number: u64) -> Option<String> {
    match store.load(&key(number)).await.unwrap()? {
        Entry::Live(stored) => Some(String::from_utf8(stored.bytes.to_vec()).unwrap()),
        Entry::Tombstone { .. } => None,
    }
}
