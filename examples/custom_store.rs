//! A store of one's own, in under a hundred lines: the contract is two methods, and the conformance
//! suite tells whether they keep it. This one is a map behind one lock; a database would do each
//! commit as one transaction or one conditional statement.

use std::{collections::HashMap, sync::Mutex};

use axum::{Router, routing::get};
use cloakroom::{
    AppKeys, Error, Session, Sessions, async_trait,
    axum::SessionLayer,
    clock::{Clock, SystemClock},
    cookie::CookieSettings,
    store::{Commit, Draft, Entry, Outcome, RecordKey, Revision, Store, StoreError, StoredRecord},
};

/// A record or a tombstone, and its deadline.

#[derive(Debug, Default)]
struct MapStore(Mutex<HashMap<RecordKey, Entry>>);

#[async_trait]
impl Store for MapStore {
    async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
        Ok(current(&*self.lock()?, key).cloned())
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let map = &mut *self.lock()?;
        Ok(match commit {
            Commit::Create { key, draft, .. } => create(map, key, draft),
            Commit::Replace { key, expected, draft, .. } => {
                match check(map, &key, Some(expected)) {
                    Outcome::Done(revision) => write(map, key, Revision(revision.0 + 1), draft),
                    refused => refused,
                }
            }
            Commit::Touch { key, expected, expires, .. } => {
                let outcome = check(map, &key, Some(expected));
                if let (Outcome::Done(_), Some(Entry::Live(stored))) = (&outcome, map.get_mut(&key))
                {
                    stored.expires = expires;
                }
                outcome
            }
            Commit::Rotate { from, expected, to, draft, tombstone, .. } => {
                match check(map, &from, expected) {
                    Outcome::Done(_) if current(map, &to).is_some() => Outcome::Exists,
                    Outcome::Done(_) => {
                        // Without a revision the session has ended, and another begins.
                        map.insert(from, Entry::tombstone(expected.map(|_| to), tombstone));
                        create(map, to, draft)
                    }
                    refused => refused,
                }
            }
            Commit::Destroy { key, tombstone, .. } => {
                let outcome = check(map, &key, None);
                if let Outcome::Done(_) = outcome {
                    map.insert(key, Entry::tombstone(None, tombstone));
                }
                outcome
            }
        })
    }
}

impl MapStore {
    fn lock(&self) -> Result<std::sync::MutexGuard<'_, HashMap<RecordKey, Entry>>, StoreError> {
        self.0.lock().map_err(|_| StoreError::failed("lock the map", "a thread has panicked"))
    }
}

/// Returns the entry under a key, unless its deadline has passed.
fn current<'m>(map: &'m HashMap<RecordKey, Entry>, key: &RecordKey) -> Option<&'m Entry> {
    map.get(key).filter(|found| found.expires() > SystemClock.now())
}

/// Whether the record under a key is the one that the request read: `Done` with its revision.
fn check(map: &HashMap<RecordKey, Entry>, key: &RecordKey, expected: Option<Revision>) -> Outcome {
    match current(map, key) {
        Some(Entry::Live(stored))
            if expected.is_none_or(|revision| revision == stored.revision) =>
        {
            Outcome::Done(stored.revision)
        }
        Some(Entry::Live(stored)) => Outcome::Conflict(stored.clone()),
        Some(Entry::Tombstone { .. }) | None => Outcome::Gone,
    }
}

fn create(map: &mut HashMap<RecordKey, Entry>, key: RecordKey, draft: Draft) -> Outcome {
    if current(map, &key).is_some() { Outcome::Exists } else { write(map, key, Revision(1), draft) }
}

fn write(
    map: &mut HashMap<RecordKey, Entry>,
    key: RecordKey,
    revision: Revision,
    draft: Draft,
) -> Outcome {
    let Draft { bytes, expires, .. } = draft;
    map.insert(key, Entry::Live(StoredRecord::new(bytes, revision, expires)));
    Outcome::Done(revision)
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    cloakroom_examples::serve(app(&cloakroom_examples::sessions())).await
}

fn app(_: &Sessions) -> Router {
    let sessions = Sessions::builder(MapStore::default(), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build();
    let sessions = sessions.unwrap_or_else(|error| panic!("the settings are valid: {error}"));
    Router::new().route("/", get(visits)).layer(SessionLayer::new(sessions))
}

async fn visits(session: Session) -> Result<String, Error> {
    Ok(format!("visit number {}", session.increment("visits")?))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use cloakroom::conformance::{self, RealTime};

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn it_keeps_the_contract() {
        let rules = conformance::check(Arc::new(MapStore::default()), &RealTime).await;
        let source = include_str!("custom_store.rs");
        let (_, store) = source.split_once("struct MapStore").unwrap();
        let (store, _) = store.split_once("fn app").unwrap();
        let lines = store.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines < 100, "{lines} lines");
        println!("rules kept: {rules}, lines of code: {lines}");
    }
}
