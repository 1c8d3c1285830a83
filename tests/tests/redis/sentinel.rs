//! A fail-over under load: what is lost and what is resurrected, counted apart.

use std::time::{Duration, Instant};

use cloakroom::{
    clock::{Clock, SystemClock},
    redis::{RedisStore, Servers},
    store::{Commit, EndingFeed, Entry, Outcome, Store},
};
use cloakroom_tests::redis::{MASTER, RedisSentinels};

use super::{HOUR, create, draft, key};

const SESSIONS: u64 = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_fail_over_the_store_goes_on() {
    fail_over(0).await;
}

// Every replica that may become the master has what was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logouts_that_all_replicas_have_survive_a_fail_over() {
    assert_eq!(fail_over(2).await, 0);
}

/// A master dies under load. Returns how many acknowledged logouts were undone.
async fn fail_over(wait_replicas: u32) -> u64 {
    let mut all = RedisSentinels::start();
    let servers = Servers::sentinels(all.addresses(), MASTER).unwrap();
    let other = RedisStore::builder(servers.clone()).build().unwrap();
    let store = RedisStore::builder(servers).wait_replicas(wait_replicas).build().unwrap();
    let mut written = Vec::new();
    for number in 0..SESSIONS {
        written.push(create(&store, number, "0").await);
    }
    create(&store, SESSIONS, "watched").await;
    let mut watch = store.watch(&key(SESSIONS));
    let (mut counts, mut destroyed) = (vec![0_u64; written.len()], Vec::new());
    let master = all.master().unwrap();
    let mut died: Option<Instant> = None;
    let mut recovered = None;
    for round in 0..2_000_u64 {
        if round == 400 {
            all.servers()[master].kill();
            died = Some(Instant::now());
        }
        let number = round * 7 % SESSIONS;
        let index = usize::try_from(number).unwrap();
        if destroyed.contains(&number) {
            continue;
        }
        let outcome = if round % 25 == 24 {
            let destroy = Commit::destroy(key(number), SystemClock.now() + HOUR);
            store.commit(destroy).await.inspect(|outcome| {
                if matches!(outcome, Outcome::Done(_)) {
                    destroyed.push(number);
                }
            })
        } else {
            let record = draft((counts[index] + 1).to_string());
            let replace = Commit::replace(key(number), written[index], record);
            store.commit(replace).await.inspect(|outcome| match outcome {
                Outcome::Done(revision) => {
                    written[index] = *revision;
                    counts[index] += 1;
                }
                Outcome::Conflict(stored) => written[index] = stored.revision,
                _ => (),
            })
        };
        match outcome {
            Err(error) => {
                assert!(error.is_unavailable(), "{error:?}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Ok(_) if died.is_some() => recovered = recovered.or(died.map(|died| died.elapsed())),
            Ok(_) => (),
        }
    }
    assert!(recovered.is_some(), "the replica took over");
    // If a fail-over begins twice, there is no master for a moment, or there are two, and Sentinels name either
    // until they demote one of them after some ten seconds. What it has acknowledged is then lost, so the
    // session is ended again.
    let woken = async {
        loop {
            drop(other.commit(Commit::destroy(key(SESSIONS), SystemClock.now() + HOUR)).await);
            if tokio::time::timeout(Duration::from_secs(2), watch.woken()).await.is_ok() {
                break;
            }
        }
    };
    let woken = tokio::time::timeout(Duration::from_mins(1), woken).await;
    assert!(woken.is_ok(), "the new master pushes endings");
    let mut resurrected = 0;
    for number in 0..SESSIONS {
        let found = store.load(&key(number)).await.unwrap();
        let is_live = matches!(found, Some(Entry::Live(_)));
        resurrected += u64::from(is_live && destroyed.contains(&number));
    }
    resurrected
}
