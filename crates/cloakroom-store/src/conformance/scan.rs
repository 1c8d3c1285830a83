//! What an enumeration owes: it names everything that is there from its first page to its last.

use std::collections::HashSet;

use super::{FAR, Subject, new_key_beside};
use crate::{Commit, Cursor, Outcome, RecordKey, Scan};

/// Runs every rule and counts them.
pub(super) async fn check(it: &Subject<'_>, store: &dyn Scan) -> usize {
    every_live_record_is_named(it, store).await;
    a_place_past_the_end_is_the_end(store).await;
    2
}

async fn every_live_record_is_named(it: &Subject<'_>, store: &dyn Scan) {
    let mut live = Vec::new();
    for _ in 0..200 {
        live.push(it.created("enumerated", FAR).await.0);
    }
    let (from, to) = (live[0], new_key_beside(live[0]));
    let (record, tombstone) = (it.draft("rotated", FAR), it.time.now() + FAR);
    let rotate = Commit::rotate(from, None, to, record, tombstone);
    assert!(matches!(it.commit(rotate).await, Outcome::Done(_)), "rotating a live record");
    live[0] = to;
    let named = all(store).await;
    let missed = live.iter().filter(|key| !named.contains(key)).count();
    assert_eq!(missed, 0, "an enumeration missed {missed} of {} live records", live.len());
}

async fn all(store: &dyn Scan) -> HashSet<RecordKey> {
    let (mut named, mut next) = (HashSet::new(), Some(Cursor::default()));
    while let Some(place) = next {
        let page = store.scan(place).await;
        let page = page.unwrap_or_else(|error| panic!("enumerating failed: {error:?}"));
        named.extend(page.keys);
        next = page.next;
    }
    named
}

async fn a_place_past_the_end_is_the_end(store: &dyn Scan) {
    let beyond = store.scan(Cursor::new(u64::MAX, 0)).await;
    let beyond = beyond.unwrap_or_else(|error| panic!("enumerating failed: {error:?}"));
    assert_eq!(beyond.next, None, "past the last part there is nothing");
}
