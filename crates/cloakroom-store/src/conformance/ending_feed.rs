//! The rules of an ending feed.

use std::time::Duration;

use super::{FAR, Subject, new_key_beside};
use crate::{Commit, EndingFeed, Entry, KeyWatch, RecordKey};

/// How long a watch may take. It is generous, because a feed may have to connect first.
const SOON: Duration = Duration::from_secs(10);

/// Runs every rule and counts them.
pub(super) async fn check(subject: &Subject<'_>, feed: &dyn EndingFeed) -> usize {
    a_destroy_wakes_the_watch(subject, feed).await;
    a_rotation_wakes_the_watch_of_the_old_key(subject, feed).await;
    2
}

async fn a_destroy_wakes_the_watch(subject: &Subject<'_>, feed: &dyn EndingFeed) {
    let (key, _) = subject.created("watched", FAR).await;
    let watch = feed.watch(&key);
    subject.commit(Commit::destroy(key, subject.time.now() + FAR)).await;
    ends(subject, watch, key).await;
}

async fn a_rotation_wakes_the_watch_of_the_old_key(subject: &Subject<'_>, feed: &dyn EndingFeed) {
    let (key, revision) = subject.created("watched", FAR).await;
    let watch = feed.watch(&key);
    let (record, tombstone) = (subject.draft("rotated", FAR), subject.time.now() + FAR);
    subject
        .commit(Commit::rotate(key, Some(revision), new_key_beside(key), record, tombstone))
        .await;
    ends(subject, watch, key).await;
}

/// Asserts that the watch is woken, and that its record has ended then.
async fn ends(subject: &Subject<'_>, mut watch: KeyWatch, key: RecordKey) {
    let woken = tokio::time::timeout(SOON, watch.woken()).await;
    assert!(woken.is_ok(), "an ending has to wake the watch of its key");
    assert!(!matches!(subject.load(key).await, Some(Entry::Live(_))), "a watched record goes on");
}
