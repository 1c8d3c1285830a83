//! What an enumeration owes: it names everything that is there from its first page to its last.

use std::collections::HashSet;

use super::{FAR, Subject, new_key_beside};
use crate::store::{Commit, Enumerate, Outcome, Place, RecordKey};

/// Runs every rule and counts them.
pub(super) async fn check(it: &Subject<'_>, store: &dyn Enumerate) -> usize {
    every_live_record_is_named(it, store).await;
    a_place_past_the_end_is_the_end(store).await;
    2
}

async fn every_live_record_is_named(it: &Subject<'_>, store: &dyn Enumerate) {
    let mut live = Vec::new();
    for _ in 0..200 {
        live.push(it.created("enumerated", FAR).await.0);
    }
    let (from, to) = (live[0], new_key_beside(live[0]));
    let (record, tombstone) = (it.draft("rotated", FAR), it.time.now() + FAR);
    let rotate = Commit::Rotate { from, expected: None, to, record, tombstone };
    assert!(matches!(it.commit(rotate).await, Outcome::Done(_)), "rotating a live record");
    live[0] = to;
    let named = all(store).await;
    let missed = live.iter().filter(|key| !named.contains(key)).count();
    assert_eq!(missed, 0, "an enumeration missed {missed} of {} live records", live.len());
}

async fn all(store: &dyn Enumerate) -> HashSet<RecordKey> {
    let (mut named, mut next) = (HashSet::new(), Some(Place::default()));
    while let Some(place) = next {
        let page = store.keys_from(place).await;
        let page = page.unwrap_or_else(|error| panic!("enumerating failed: {error:?}"));
        named.extend(page.keys);
        next = page.next;
    }
    named
}

async fn a_place_past_the_end_is_the_end(store: &dyn Enumerate) {
    let beyond = store.keys_from(Place { part: u64::MAX, ..Place::default() }).await;
    let beyond = beyond.unwrap_or_else(|error| panic!("enumerating failed: {error:?}"));
    assert_eq!(beyond.next, None, "past the last part there is nothing");
}
