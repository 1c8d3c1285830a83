//! What one client at a time can see.

use std::time::Duration;

use super::{FAR, NEAR, Subject, new_key, new_key_beside};
use crate::{Commit, Draft, Outcome, RecordKey, Revision};

/// Runs every rule and counts them.
pub(super) async fn check(it: &Subject<'_>) -> usize {
    macro_rules! run {
        ($($rule:ident),* $(,)?) => {{
            let names = [$(stringify!($rule)),*];
            $($rule(it).await;)*
            names.len()
        }};
    }
    run!(
        an_unknown_key_is_an_absence,
        a_created_record_is_loaded_as_it_was_given,
        an_empty_and_a_large_record_are_kept,
        bytes_are_not_interpreted,
        creating_twice_answers_exists,
        creating_over_a_tombstone_answers_exists,
        replacing_changes_record_deadline_and_revision,
        replacing_an_older_revision_answers_the_current_record,
        touching_moves_the_deadline_and_nothing_else,
        touching_an_older_revision_changes_nothing,
        rotating_moves_the_record_and_buries_the_old_key,
        rotating_an_older_revision_answers_the_current_record,
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

async fn an_unknown_key_is_an_absence(it: &Subject<'_>) {
    assert_eq!(it.load(new_key()).await, None);
}

async fn a_created_record_is_loaded_as_it_was_given(it: &Subject<'_>) {
    let draft = it.draft("first", FAR);
    let key = new_key();
    let outcome = it.commit(Commit::create(key, draft.clone())).await;
    let stored = it.live(key).await;
    assert_eq!(outcome, Outcome::Done(stored.revision));
    assert_eq!((stored.bytes, stored.expires), (draft.bytes, draft.expires));
}

async fn an_empty_and_a_large_record_are_kept(it: &Subject<'_>) {
    for size in [0, 1, 4_096, 1_000_000] {
        let (key, _) = it.created(&"x".repeat(size), FAR).await;
        assert_eq!(it.live(key).await.bytes.len(), size);
    }
}

async fn bytes_are_not_interpreted(it: &Subject<'_>) {
    let key = new_key();
    let mut record = it.draft("", FAR);
    record.bytes = (0..=255).collect();
    it.commit(Commit::create(key, record.clone())).await;
    assert_eq!(it.live(key).await.bytes, record.bytes);
}

async fn creating_twice_answers_exists(it: &Subject<'_>) {
    let (key, _) = it.created("first", FAR).await;
    let outcome = it.commit(Commit::create(key, it.draft("second", FAR))).await;
    assert_eq!(outcome, Outcome::Exists);
    assert_eq!(it.live(key).await.bytes, "first");
}

async fn creating_over_a_tombstone_answers_exists(it: &Subject<'_>) {
    let key = it.destroyed().await;
    let outcome = it.commit(Commit::create(key, it.draft("again", FAR))).await;
    assert_eq!(outcome, Outcome::Exists, "a logged-out session came back");
    it.assert_destroyed(key).await;
}

async fn replacing_changes_record_deadline_and_revision(it: &Subject<'_>) {
    let (key, expected) = it.created("first", FAR).await;
    let draft = it.draft("second", FAR * 2);
    let outcome = it.commit(Commit::replace(key, expected, draft.clone())).await;
    let stored = it.live(key).await;
    assert_eq!(outcome, Outcome::Done(stored.revision));
    assert_ne!(stored.revision, expected);
    assert_eq!((stored.bytes, stored.expires), (draft.bytes, draft.expires));
}

async fn replacing_an_older_revision_answers_the_current_record(it: &Subject<'_>) {
    let (key, older) = it.created("first", FAR).await;
    it.commit(Commit::replace(key, older, it.draft("second", FAR))).await;
    let late = Commit::replace(key, older, it.draft("late", FAR));
    let outcome = it.commit(late).await;
    let stored = it.live(key).await;
    assert_eq!(stored.bytes, "second");
    assert_eq!(outcome, Outcome::Conflict(stored));
}

async fn touching_moves_the_deadline_and_nothing_else(it: &Subject<'_>) {
    let (key, expected) = it.created("first", FAR).await;
    let expires = it.time.now() + FAR * 2;
    let outcome = it.commit(Commit::touch(key, expected, expires)).await;
    assert_eq!(outcome, Outcome::Done(expected));
    let stored = it.live(key).await;
    assert_eq!((stored.revision, stored.expires), (expected, expires));
    assert_eq!(stored.bytes, "first");
}

async fn touching_an_older_revision_changes_nothing(it: &Subject<'_>) {
    let (key, older) = it.created("first", FAR).await;
    it.commit(Commit::replace(key, older, it.draft("second", FAR))).await;
    let before = it.live(key).await;
    let expires = it.time.now() + FAR * 2;
    let outcome = it.commit(Commit::touch(key, older, expires)).await;
    assert_eq!(outcome, Outcome::Conflict(before.clone()));
    assert_eq!(it.live(key).await, before);
}

async fn rotating_moves_the_record_and_buries_the_old_key(it: &Subject<'_>) {
    let (from, revision) = it.created("first", FAR).await;
    let (to, draft) = (new_key_beside(from), it.draft("rotated", FAR));
    let rotate = rotate(it, from, Some(revision), to, &draft);
    let Commit::Rotate { tombstone, .. } = rotate else { unreachable!() };
    let outcome = it.commit(rotate).await;
    let stored = it.live(to).await;
    assert_eq!(outcome, Outcome::Done(stored.revision));
    assert_eq!((stored.bytes, stored.expires), (draft.bytes, draft.expires));
    assert_eq!(it.tombstone(from).await, (Some(to), tombstone));
}

async fn rotating_an_older_revision_answers_the_current_record(it: &Subject<'_>) {
    let (from, older) = it.created("first", FAR).await;
    it.commit(Commit::replace(from, older, it.draft("second", FAR))).await;
    let (to, draft) = (new_key_beside(from), it.draft("late", FAR));
    let outcome = it.commit(rotate(it, from, Some(older), to, &draft)).await;
    assert_eq!(outcome, Outcome::Conflict(it.live(from).await));
    assert_eq!(it.load(to).await, None);
}

async fn rotating_without_a_revision_ends_the_session(it: &Subject<'_>) {
    let (from, older) = it.created("first", FAR).await;
    it.commit(Commit::replace(from, older, it.draft("second", FAR))).await;
    let (to, draft) = (new_key_beside(from), it.draft("rotated", FAR));
    let rotate = rotate(it, from, None, to, &draft);
    let Commit::Rotate { tombstone, .. } = rotate else { unreachable!() };
    let outcome = it.commit(rotate).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert_eq!(it.live(to).await.bytes, "rotated");
    assert_eq!(it.tombstone(from).await, (None, tombstone), "the session has ended");
}

async fn rotating_onto_a_taken_key_changes_neither(it: &Subject<'_>) {
    let (from, revision) = it.created("first", FAR).await;
    let (taken, _) = it.created_at(new_key_beside(from), "taken", FAR).await;
    for to in [taken, it.destroyed_at(new_key_beside(from)).await] {
        let before = it.load(to).await;
        let outcome = it.commit(rotate(it, from, Some(revision), to, &it.draft("new", FAR))).await;
        assert_eq!(outcome, Outcome::Exists);
        assert_eq!(it.load(to).await, before);
        assert_eq!(it.live(from).await.bytes, "first");
    }
}

async fn destroying_leaves_a_tombstone(it: &Subject<'_>) {
    let key = it.destroyed().await;
    it.assert_destroyed(key).await;
}

async fn nothing_changes_under_an_unknown_key(it: &Subject<'_>) {
    let key = new_key();
    for change in it.changes_of(key, Revision::default()) {
        assert_eq!(it.commit(change.clone()).await, Outcome::Gone, "{change:?}");
        assert_eq!(it.load(key).await, None, "{change:?} created a record");
    }
}

async fn nothing_changes_under_a_tombstone(it: &Subject<'_>) {
    let key = it.destroyed().await;
    for change in it.changes_of(key, Revision(1)) {
        assert_eq!(it.commit(change.clone()).await, Outcome::Gone, "{change:?}");
        it.assert_destroyed(key).await;
    }
}

async fn a_record_is_absent_after_its_deadline(it: &Subject<'_>) {
    let (key, _) = it.created("short", NEAR).await;
    it.live(key).await;
    it.time.pass(NEAR).await;
    assert_eq!(it.load(key).await, None);
}

async fn nothing_changes_after_the_deadline(it: &Subject<'_>) {
    let (key, revision) = it.created("short", NEAR).await;
    it.time.pass(NEAR).await;
    for change in it.changes_of(key, revision) {
        assert_eq!(it.commit(change.clone()).await, Outcome::Gone, "{change:?}");
        assert_eq!(it.load(key).await, None, "{change:?} brought an expired record back");
    }
}

async fn a_tombstone_is_absent_after_its_deadline(it: &Subject<'_>) {
    let (key, _) = it.created("first", FAR).await;
    it.commit(Commit::destroy(key, it.time.now() + NEAR)).await;
    it.time.pass(NEAR).await;
    assert_eq!(it.load(key).await, None);
}

async fn a_touch_keeps_a_record_past_its_first_deadline(it: &Subject<'_>) {
    let (key, expected) = it.created("touched", NEAR).await;
    it.commit(Commit::touch(key, expected, it.time.now() + FAR)).await;
    it.time.pass(NEAR + Duration::from_millis(1)).await;
    assert_eq!(it.live(key).await.bytes, "touched");
}

async fn a_key_whose_record_expired_is_free(it: &Subject<'_>) {
    let (key, _) = it.created("short", NEAR).await;
    it.time.pass(NEAR).await;
    let outcome = it.commit(Commit::create(key, it.draft("next", FAR))).await;
    assert!(matches!(outcome, Outcome::Done(_)), "{outcome:?}");
    assert_eq!(it.live(key).await.bytes, "next");
}

async fn revisions_are_never_used_twice(it: &Subject<'_>) {
    let (key, mut last) = it.created("0", FAR).await;
    let mut used = vec![last];
    for round in 1..20 {
        let record = it.draft(&round.to_string(), FAR);
        match it.commit(Commit::replace(key, last, record)).await {
            Outcome::Done(next) => last = next,
            other => panic!("replacing the revision that was just written answered {other:?}"),
        }
        assert!(!used.contains(&last), "{last:?} was used before");
        used.push(last);
    }
}

fn rotate(
    it: &Subject<'_>,
    from: RecordKey,
    expected: Option<Revision>,
    to: RecordKey,
    draft: &Draft,
) -> Commit {
    let tombstone = it.time.now() + FAR;
    Commit::rotate(from, expected, to, draft.clone(), tombstone)
}
