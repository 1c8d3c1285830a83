//! A store of one's own, in under a hundred lines: the contract is two methods, and the conformance
//! suite tells whether they keep it. This one is a map behind one lock; a database would do each
//! commit as one transaction or one conditional statement.

use std::{collections::HashMap, sync::Mutex};

use axum::{Router, routing::get};
use cloakroom::{
    async_trait,
    clock::{Clock, SystemClock},
    store::{Commit, Draft, Found, Outcome, RecordKey, Revision, Store, StoreError, Stored},
};
use cloakroom_axum::{
    AppKeys, Session, SessionError, SessionLayer, Sessions, cookie::CookieSettings,
};

/// A record or a tombstone, and its deadline.

#[derive(Debug, Default)]
pub(crate) struct MapStore(Mutex<HashMap<RecordKey, Found>>);

#[async_trait]
impl Store for MapStore {
    async fn load(&self, key: &RecordKey) -> Result<Option<Found>, StoreError> {
        Ok(current(&*self.lock()?, key).cloned())
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let map = &mut *self.lock()?;
        Ok(match commit {
            Commit::Create { key, record } => create(map, key, record),
            Commit::Replace { key, expected, record } => match check(map, &key, Some(expected)) {
                Outcome::Done(revision) => write(map, key, Revision(revision.0 + 1), record),
                refused => refused,
            },
            Commit::Touch { key, expected, expires } => {
                let outcome = check(map, &key, Some(expected));
                if let (Outcome::Done(_), Some(Found::Live(stored))) = (&outcome, map.get_mut(&key))
                {
                    stored.expires = expires;
                }
                outcome
            }
            Commit::Rotate { from, expected, to, record, tombstone } => {
                match check(map, &from, expected) {
                    Outcome::Done(_) if current(map, &to).is_some() => Outcome::Exists,
                    Outcome::Done(_) => {
                        // Without a revision the session has ended, and another begins.
                        let (successor, expires) = (expected.map(|_| to), tombstone);
                        map.insert(from, Found::Tombstone { successor, expires });
                        create(map, to, record)
                    }
                    refused => refused,
                }
            }
            Commit::Destroy { key, tombstone } => {
                let outcome = check(map, &key, None);
                if let Outcome::Done(_) = outcome {
                    let (successor, expires) = (None, tombstone);
                    map.insert(key, Found::Tombstone { successor, expires });
                }
                outcome
            }
        })
    }
}

impl MapStore {
    fn lock(&self) -> Result<std::sync::MutexGuard<'_, HashMap<RecordKey, Found>>, StoreError> {
        self.0.lock().map_err(|_| StoreError::failed("lock the map", "a thread has panicked"))
    }
}

/// What is under a key, unless its deadline has passed.
fn current<'m>(map: &'m HashMap<RecordKey, Found>, key: &RecordKey) -> Option<&'m Found> {
    map.get(key).filter(|found| found.expires() > SystemClock.now())
}

/// Whether the record under a key is the one that the request read: `Done` with its revision.
fn check(map: &HashMap<RecordKey, Found>, key: &RecordKey, expected: Option<Revision>) -> Outcome {
    match current(map, key) {
        Some(Found::Live(stored)) if expected.is_none_or(|it| it == stored.revision) => {
            Outcome::Done(stored.revision)
        }
        Some(Found::Live(stored)) => Outcome::Conflict(stored.clone()),
        Some(Found::Tombstone { .. }) | None => Outcome::Gone,
    }
}

fn create(map: &mut HashMap<RecordKey, Found>, key: RecordKey, record: Draft) -> Outcome {
    if current(map, &key).is_some() {
        Outcome::Exists
    } else {
        write(map, key, Revision(1), record)
    }
}

fn write(
    map: &mut HashMap<RecordKey, Found>,
    key: RecordKey,
    revision: Revision,
    draft: Draft,
) -> Outcome {
    let Draft { record, expires, .. } = draft;
    map.insert(key, Found::Live(Stored { record, revision, expires }));
    Outcome::Done(revision)
}

pub(crate) fn app(_: &Sessions) -> Router {
    let sessions = Sessions::store(MapStore::default(), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build();
    let sessions = sessions.unwrap_or_else(|error| panic!("the settings are valid: {error}"));
    Router::new().route("/", get(visits)).layer(SessionLayer::new(sessions))
}

async fn visits(session: Session) -> Result<String, SessionError> {
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
        let (_, store) = source.split_once("pub(crate) struct MapStore").unwrap();
        let (store, _) = store.split_once("pub(crate) fn app").unwrap();
        let lines = store.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(lines < 100, "{lines} lines");
        println!("rules kept: {rules}, lines of code: {lines}");
    }
}
