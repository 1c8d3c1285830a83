//! The stores in SQL databases, on real servers, healthy and not.

mod bouncer;
mod cancels;
mod collisions;
mod costs;
mod disk;
mod full_disk;
mod growth;
mod health;
mod histories;
mod hot;
mod increments;
mod kills;
mod locks;
mod logouts;
mod lost_replies;
mod place;
mod plans;
mod resends;
mod restarts;
mod rules;
mod schema;
mod shared_pool;
mod sweeps;

use std::{
    env,
    process::{Command, Stdio},
    time::Duration,
};

use cloakroom::{
    clock::{Clock, SystemClock},
    store::{Commit, Draft, Entry, Outcome, RecordKey, Revision, Store, StoreError},
};

use place::{Database, Place, Settings};

const HOUR: Duration = Duration::from_hours(1);

fn key(number: u64) -> RecordKey {
    let mut bytes = [7; 32];
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    RecordKey::from_bytes(bytes)
}

fn draft(text: impl Into<String>) -> Draft {
    Draft::new(text.into(), SystemClock.now(), HOUR)
}

async fn create(store: &dyn Store, number: u64, text: &str) -> Revision {
    done(store.commit(Commit::create(key(number), draft(text))).await)
}

/// Writes whatever the revision is.
async fn overwrite(store: &dyn Store, key: RecordKey, text: &str) -> Revision {
    let expected = live(store, key).await.1;
    done(store.commit(Commit::replace(key, expected, draft(text))).await)
}

/// Returns the text and the revision of a record.
async fn live(store: &dyn Store, key: RecordKey) -> (String, Revision) {
    match store.load(&key).await.unwrap() {
        Some(Entry::Live(stored)) => {
            (String::from_utf8(stored.bytes.to_vec()).unwrap(), stored.revision)
        }
        other => panic!("{other:?}"),
    }
}

/// Returns the successor of a tombstone.
async fn tombstone(store: &dyn Store, key: RecordKey) -> Option<RecordKey> {
    match store.load(&key).await.unwrap() {
        Some(Entry::Tombstone { successor, .. }) => successor,
        other => panic!("{other:?}"),
    }
}

fn done(outcome: Result<Outcome, StoreError>) -> Revision {
    match outcome.unwrap() {
        Outcome::Done(revision) => revision,
        other => panic!("{other:?}"),
    }
}

/// Returns the text of an error and of its cause.
fn shown(error: &StoreError) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("{error}: {}", cause.unwrap_or_default())
}

/// Tells a process of this test program that it has a task of the test with this name.
const TASK: &str = "CLOAKROOM_TESTS_TASK";

/// Returns the task of this process, if it has one.
fn task() -> Option<String> {
    env::var(TASK).ok()
}

/// Returns a command that runs the test `name` of this program in a separate process, with a task.
fn process(name: &str, task: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", name, "--nocapture"]).env(TASK, task).stdout(Stdio::null());
    command
}
