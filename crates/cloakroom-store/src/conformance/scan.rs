//! The rules of a scan. It must return every record that is stored from its first page to its last.

use std::collections::HashSet;

use super::{FAR, Subject, new_key_beside};
use crate::{Commit, Cursor, Outcome, RecordKey, Scan};

/// Runs every rule and counts them.
pub(super) async fn check(subject: &Subject<'_>, store: &dyn Scan) -> usize {
    every_live_record_is_returned(subject, store).await;
    a_cursor_past_the_end_returns_the_last_page(store).await;
    2
}

async fn every_live_record_is_returned(subject: &Subject<'_>, store: &dyn Scan) {
    let mut live = Vec::new();
    for _ in 0..200 {
        live.push(subject.created("scanned", FAR).await.0);
    }
    let (from, to) = (live[0], new_key_beside(live[0]));
    let (record, tombstone) = (subject.draft("rotated", FAR), subject.time.now() + FAR);
    let rotate = Commit::rotate(from, None, to, record, tombstone);
    assert!(matches!(subject.commit(rotate).await, Outcome::Done(_)), "rotating a live record");
    live[0] = to;
    let returned = all(store).await;
    let missed = live.iter().filter(|key| !returned.contains(key)).count();
    assert_eq!(missed, 0, "a scan missed {missed} of {} live records", live.len());
}

async fn all(store: &dyn Scan) -> HashSet<RecordKey> {
    let (mut returned, mut next) = (HashSet::new(), Some(Cursor::default()));
    while let Some(cursor) = next {
        let page = store.scan(cursor).await;
        let page = page.unwrap_or_else(|error| panic!("a scan failed: {error:?}"));
        returned.extend(page.keys);
        next = page.next;
    }
    returned
}

async fn a_cursor_past_the_end_returns_the_last_page(store: &dyn Scan) {
    let beyond = store.scan(Cursor::new(u64::MAX, 0)).await;
    let beyond = beyond.unwrap_or_else(|error| panic!("a scan failed: {error:?}"));
    assert_eq!(beyond.next, None, "a page past the last part has a successor");
}
