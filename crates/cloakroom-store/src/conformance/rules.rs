//! The rules for one client at a time.

use std::time::Duration;

use super::{FAR, NEAR, Subject, new_key, new_key_beside};
use crate::{Commit, Draft, Outcome, RecordKey, Revision};

/// Runs every rule and counts them.
pub(super) async fn check(subject: &Subject<'_>) -> usize {
    macro_rules! run {
        ($($rule:ident),* $(,)?) => {{
            let names = [$(stringify!($rule)),*];
            $($rule(subject).await;)*
            names.len()
        }};
    }
    run!(
        an_unknown_key_is_an_absence,
        a_created_record_is_loaded_as_it_was_given,
        an_empty_and_a_large_record_are_kept,
        bytes_are_not_interpreted,
        creating_twice_returns_exists,
        creating_over_a_tombstone_returns_exists,
        replacing_changes_record_deadline_and_revision,
        replacing_an_older_revision_returns_the_current_record,
        touching_moves_the_deadline_and_nothing_else,
        touching_an_older_revision_changes_nothing,
        rotating_moves_the_record_and_leaves_a_tombstone,
        rotating_an_older_revision_returns_the_current_record,
        rotating_without_a_revision_ends_the_session,
        rotating_onto_a_taken_key_changes_neither,
        destroying_leaves_a_tombstone,
        nothing_changes_under_an_unknown_key,
        nothing_changes_under_a_tombstone,
        a_record_is_absent_after_its_deadline,
        nothing_changes_after_the_deadline,
        a_tombstone_is_absent_after_its_deadline,
        a_touch_keeps_a_record_past_its_first_deadline,
        a_key_whose_record_expired_is_free,
        revisions_are_never_used_twice,
    )
}

async fn an_unknown_key_is_an_absence(subject: &Subject<'_>) {
    assert_eq!(subject.load(new_key()).await, None);
}

async fn a_created_record_is_loaded_as_it_was_given(subject: &Subject<'_>) {
    let draft = subject.draft("first", FAR);
    let key = new_key();
    let outcome = subject.commit(Commit::create(key, draft.clone())).await;
    let stored = subject.live(key).await;
    assert_eq!(outcome, Outcome::Done(stored.revision));
    assert_eq!((stored.bytes, stored.expires), (draft.bytes, draft.expires));
}

async fn an_empty_and_a_large_record_are_kept(subject: &Subject<'_>) {
    for size in [0, 1, 4_096, 1_000_000] {
        let (key, _) = subject.created(&"x".repeat(size), FAR).await;
        assert_eq!(subject.live(key).await.bytes.len(), size);
    }
}

async fn bytes_are_not_interpreted(subject: &Subject<'_>) {
    let key = new_key();
    let mut record = subject.draft("", FAR);
    record.bytes = (0..=255).collect();
    subject.commit(Commit::create(key, record.clone())).await;
    assert_eq!(subject.live(key).await.bytes, record.bytes);
}

async fn creating_twice_returns_exists(subject: &Subject<'_>) {
    let (key, _) = subject.created("first", FAR).await;
    let outcome = subject.commit(Commit::create(key, subject.draft("second", FAR))).await;
    assert_eq!(outcome, Outcome::Exists);
    assert_eq!(subject.live(key).await.bytes, "first");
}

async fn creating_over_a_tombstone_returns_exists(subject: &Subject<'_>) {
    let key = subject.destroyed().await;
    let outcome = subject.commit(Commit::create(key, subject.draft("again", FAR))).await;
    assert_eq!(outcome, Outcome::Exists, "a destroyed session was created again");
    subject.assert_destroyed(key).await;
}

async fn replacing_changes_record_deadline_and_revision(subject: &Subject<'_>) {
    let (key, expected) = subject.created("first", FAR).await;
    let draft = subject.draft("second", FAR * 2);
    let outcome = subject.commit(Commit::replace(key, expected, draft.clone())).await;
    let stored = subject.live(key).await;
    assert_eq!(outcome, Outcome::Done(stored.revision));
    assert_ne!(stored.revision, expected);
    assert_eq!((stored.bytes, stored.expires), (draft.bytes, draft.expires));
}

async fn replacing_an_older_revision_returns_the_current_record(subject: &Subject<'_>) {
    let (key, older) = subject.created("first", FAR).await;
    subject.commit(Commit::replace(key, older, subject.draft("second", FAR))).await;
    let late = Commit::replace(key, older, subject.draft("late", FAR));
    let outcome = subject.commit(late).await;
    let stored = subject.live(key).await;
    assert_eq!(stored.bytes, "second");
    assert_eq!(outcome, Outcome::Conflict(stored));
}

async fn touching_moves_the_deadline_and_nothing_else(subject: &Subject<'_>) {
    let (key, expected) = subject.created("first", FAR).await;
    let expires = subject.time.now() + FAR * 2;
    let outcome = subject.commit(Commit::touch(key, expected, expires)).await;
    assert_eq!(outcome, Outcome::Done(expected));
    let stored = subject.live(key).await;
    assert_eq!((stored.revision, stored.expires), (expected, expires));
    assert_eq!(stored.bytes, "first");
}

async fn touching_an_older_revision_changes_nothing(subject: &Subject<'_>) {
    let (key, older) = subject.created("first", FAR).await;
    subject.commit(Commit::replace(key, older, subject.draft("second", FAR))).await;
    let before = subject.live(key).await;
    let expires = subject.time.now() + FAR * 2;
    let outcome = subject.commit(Commit::touch(key, older, expires)).await;
    assert_eq!(outcome, Outcome::Conflict(before.clone()));
    assert_eq!(subject.live(key).await, before);
}

async fn rotating_moves_the_record_and_leaves_a_tombstone(subject: &Subject<'_>) {
    let (from, revision) = subject.created("first", FAR).await;
    let (to, draft) = (new_key_beside(from), subject.draft("rotated", FAR));
    let rotate = rotate(subject, from, Some(revision), to, &draft);
    let Commit::Rotate { tombstone, .. } = rotate else { unreachable!() };
    let outcome = subject.commit(rotate).await;
    let stored = subject.live(to).await;
    assert_eq!(outcome, Outcome::Done(stored.revision));
    assert_eq!((stored.bytes, stored.expires), (draft.bytes, draft.expires));
    assert_eq!(subject.tombstone(from).await, (Some(to), tombstone));
}

async fn rotating_an_older_revision_returns_the_current_record(subject: &Subject<'_>) {
    let (from, older) = subject.created("first", FAR).await;
    subject.commit(Commit::replace(from, older, subject.draft("second", FAR))).await;
    let (to, draft) = (new_key_beside(from), subject.draft("late", FAR));
    let outcome = subject.commit(rotate(subject, from, Some(older), to, &draft)).await;
    assert_eq!(outcome, Outcome::Conflict(subject.live(from).await));
    assert_eq!(subject.load(to).await, None);
}

async fn rotating_without_a_revision_ends_the_session(subject: &Subject<'_>) {
    let (from, older) = subject.created("first", FAR).await;
    subject.commit(Commit::replace(from, older, subject.draft("second", FAR))).await;
    let (to, draft) = (new_key_beside(from), subject.draft("rotated", FAR));
    let rotate = rotate(subject, from, None, to, &draft);
    let Commit::Rotate { tombstone, .. } = rotate else { unreachable!() };
    let outcome = subject.commit(rotate).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert_eq!(subject.live(to).await.bytes, "rotated");
    assert_eq!(subject.tombstone(from).await, (None, tombstone), "the session has ended");
}

async fn rotating_onto_a_taken_key_changes_neither(subject: &Subject<'_>) {
    let (from, revision) = subject.created("first", FAR).await;
    let (taken, _) = subject.created_at(new_key_beside(from), "taken", FAR).await;
    for to in [taken, subject.destroyed_at(new_key_beside(from)).await] {
        let before = subject.load(to).await;
        let outcome = subject
            .commit(rotate(subject, from, Some(revision), to, &subject.draft("new", FAR)))
            .await;
        assert_eq!(outcome, Outcome::Exists);
        assert_eq!(subject.load(to).await, before);
        assert_eq!(subject.live(from).await.bytes, "first");
    }
}

async fn destroying_leaves_a_tombstone(subject: &Subject<'_>) {
    let key = subject.destroyed().await;
    subject.assert_destroyed(key).await;
}

async fn nothing_changes_under_an_unknown_key(subject: &Subject<'_>) {
    let key = new_key();
    for change in subject.changes_of(key, Revision::default()) {
        assert_eq!(subject.commit(change.clone()).await, Outcome::Gone, "{change:?}");
        assert_eq!(subject.load(key).await, None, "{change:?} created a record");
    }
}

async fn nothing_changes_under_a_tombstone(subject: &Subject<'_>) {
    let key = subject.destroyed().await;
    for change in subject.changes_of(key, Revision(1)) {
        assert_eq!(subject.commit(change.clone()).await, Outcome::Gone, "{change:?}");
        subject.assert_destroyed(key).await;
    }
}

async fn a_record_is_absent_after_its_deadline(subject: &Subject<'_>) {
    let (key, _) = subject.created("short", NEAR).await;
    subject.live(key).await;
    subject.time.pass(NEAR).await;
    assert_eq!(subject.load(key).await, None);
}

async fn nothing_changes_after_the_deadline(subject: &Subject<'_>) {
    let (key, revision) = subject.created("short", NEAR).await;
    subject.time.pass(NEAR).await;
    for change in subject.changes_of(key, revision) {
        assert_eq!(subject.commit(change.clone()).await, Outcome::Gone, "{change:?}");
        assert_eq!(subject.load(key).await, None, "{change:?} brought an expired record back");
    }
}

async fn a_tombstone_is_absent_after_its_deadline(subject: &Subject<'_>) {
    let (key, _) = subject.created("first", FAR).await;
    subject.commit(Commit::destroy(key, subject.time.now() + NEAR)).await;
    subject.time.pass(NEAR).await;
    assert_eq!(subject.load(key).await, None);
}

async fn a_touch_keeps_a_record_past_its_first_deadline(subject: &Subject<'_>) {
    let (key, expected) = subject.created("touched", NEAR).await;
    subject.commit(Commit::touch(key, expected, subject.time.now() + FAR)).await;
    subject.time.pass(NEAR + Duration::from_millis(1)).await;
    assert_eq!(subject.live(key).await.bytes, "touched");
}

async fn a_key_whose_record_expired_is_free(subject: &Subject<'_>) {
    let (key, _) = subject.created("short", NEAR).await;
    subject.time.pass(NEAR).await;
    let outcome = subject.commit(Commit::create(key, subject.draft("next", FAR))).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert_eq!(subject.live(key).await.bytes, "next");
}

async fn revisions_are_never_used_twice(subject: &Subject<'_>) {
    let (key, mut last) = subject.created("0", FAR).await;
    let mut used = vec![last];
    for round in 1..20 {
        let record = subject.draft(&round.to_string(), FAR);
        match subject.commit(Commit::replace(key, last, record)).await {
            Outcome::Done(next) => last = next,
            other => panic!("replacing the current revision returned {other:?}"),
        }
        assert!(!used.contains(&last), "{last:?} was used before");
        used.push(last);
    }
}

fn rotate(
    subject: &Subject<'_>,
    from: RecordKey,
    expected: Option<Revision>,
    to: RecordKey,
    draft: &Draft,
) -> Commit {
    let tombstone = subject.time.now() + FAR;
    Commit::rotate(from, expected, to, draft.clone(), tombstone)
}
