//! The rules for commits whose future is dropped before its end. Such a step is carried out as a whole,
//! at once or later, or not at all.

use std::{future::poll_fn, task::Poll};

use super::{FAR, Subject, new_key, new_key_beside};
use crate::{Commit, Entry, Outcome};

/// How often a future is polled at most before it is dropped.
const MAX_POLLS: usize = 4;

/// Runs every rule and counts them.
pub(super) async fn check(subject: &Subject<'_>) -> usize {
    for polls in 1..=MAX_POLLS {
        a_dropped_create_is_whole_or_nothing(subject, polls).await;
        a_dropped_change_is_whole_or_nothing(subject, polls).await;
        a_dropped_rotation_leaves_one_key_live(subject, polls).await;
        a_dropped_destroy_is_whole_or_nothing(subject, polls).await;
    }
    4
}

/// Begins a commit and drops its future after this number of polls.
async fn begin(subject: &Subject<'_>, commit: Commit, polls: usize) {
    let mut committing = subject.store.commit(commit);
    for _ in 0..polls {
        let is_ready = poll_fn(|cx| Poll::Ready(committing.as_mut().poll(cx).is_ready())).await;
        if is_ready {
            return;
        }
        tokio::task::yield_now().await;
    }
}

async fn a_dropped_create_is_whole_or_nothing(subject: &Subject<'_>, polls: usize) {
    let (key, draft) = (new_key(), subject.draft("created", FAR));
    begin(subject, Commit::create(key, draft), polls).await;
    match subject.load(key).await {
        None => (),
        Some(Entry::Live(stored)) => assert_eq!(stored.bytes, "created"),
        other => panic!("a dropped create has left {other:?}"),
    }
    let again = subject.commit(Commit::create(key, subject.draft("again", FAR))).await;
    assert!(matches!(again, Outcome::Done(_) | Outcome::Exists), "{again:?}");
}

async fn a_dropped_change_is_whole_or_nothing(subject: &Subject<'_>, polls: usize) {
    let (key, expected) = subject.created("first", FAR).await;
    let before = subject.live(key).await;
    let draft = subject.draft("second", FAR * 2);
    begin(subject, Commit::replace(key, expected, draft.clone()), polls).await;
    let after = subject.live(key).await;
    let is_changed = after.revision != expected;
    let whole =
        if is_changed { (draft.bytes, draft.expires) } else { (before.bytes, before.expires) };
    assert_eq!((after.bytes, after.expires), whole, "a part of a dropped replace");

    let (key, expected) = subject.created("first", FAR).await;
    let (before, expires) = (subject.live(key).await, subject.time.now() + FAR * 2);
    begin(subject, Commit::touch(key, expected, expires), polls).await;
    let after = subject.live(key).await;
    assert_eq!((&after.bytes, after.revision), (&before.bytes, before.revision));
    assert!([before.expires, expires].contains(&after.expires), "{after:?}");
    subject.commit(Commit::destroy(key, subject.time.now() + FAR)).await;
    subject.assert_destroyed(key).await;
}

async fn a_dropped_rotation_leaves_one_key_live(subject: &Subject<'_>, polls: usize) {
    for is_named in [true, false] {
        let (from, revision) = subject.created("first", FAR).await;
        let (to, draft) = (new_key_beside(from), subject.draft("rotated", FAR));
        let tombstone = subject.time.now() + FAR;
        let expected = is_named.then_some(revision);
        begin(subject, Commit::rotate(from, expected, to, draft, tombstone), polls).await;
        // The new key first: if it is live, the old one was replaced before.
        let found = (subject.load(to).await, subject.load(from).await);
        match found {
            (None, Some(Entry::Live(_))) => (),
            (Some(Entry::Live(_)), Some(Entry::Tombstone { successor, .. }))
                if successor == expected.map(|_| to) => {}
            // It was carried out between the two loads.
            (None, Some(Entry::Tombstone { .. })) => _ = subject.live(to).await,
            other => panic!("a dropped rotation has left {other:?}"),
        }
        let mut ended = 0;
        for key in [from, to] {
            let destroy = Commit::destroy(key, tombstone);
            ended += usize::from(matches!(subject.commit(destroy).await, Outcome::Done(_)));
        }
        assert_eq!(ended, 1, "one of the two keys has the session");
    }
}

async fn a_dropped_destroy_is_whole_or_nothing(subject: &Subject<'_>, polls: usize) {
    let (key, _) = subject.created("first", FAR).await;
    begin(subject, Commit::destroy(key, subject.time.now() + FAR), polls).await;
    match subject.load(key).await {
        Some(Entry::Live(stored)) => assert_eq!(stored.bytes, "first"),
        Some(Entry::Tombstone { successor: None, .. }) => (),
        other => panic!("a dropped destroy has left {other:?}"),
    }
    subject.commit(Commit::destroy(key, subject.time.now() + FAR)).await;
    subject.assert_destroyed(key).await;
}
