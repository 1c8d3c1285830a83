//! The rules for several clients at a time. A runtime with several threads finds more races.

use std::sync::Arc;

use super::{FAR, Subject, new_key, new_key_beside};
use crate::{Commit, Draft, Entry, Outcome, RecordKey, Store, clock::Timestamp};

const CLIENTS: usize = 32;

/// Runs every race and counts them.
pub(super) async fn check(subject: &Subject<'_>) -> usize {
    one_of_many_creators_wins(subject).await;
    one_of_many_replacers_of_a_revision_wins(subject).await;
    no_count_is_lost(subject).await;
    one_of_many_rotations_wins(subject).await;
    nothing_survives_a_destroy(subject).await;
    5
}

async fn one_of_many_creators_wins(subject: &Subject<'_>) {
    let key = new_key();
    let outcomes =
        all_at_once(subject, |client| Commit::create(key, subject.draft(&client.to_string(), FAR)));
    assert_eq!(winners(&outcomes.await), 1);
}

async fn one_of_many_replacers_of_a_revision_wins(subject: &Subject<'_>) {
    let (key, expected) = subject.created("first", FAR).await;
    let outcomes = all_at_once(subject, |client| {
        Commit::replace(key, expected, subject.draft(&client.to_string(), FAR))
    });
    assert_eq!(winners(&outcomes.await), 1);
}

async fn no_count_is_lost(subject: &Subject<'_>) {
    let (key, _) = subject.created("0", FAR).await;
    let now = subject.time.now();
    together((0..CLIENTS).map(|_| {
        let store = subject.store.clone();
        async move { count_up(&store, key, now).await }
    }))
    .await;
    assert_eq!(subject.live(key).await.bytes, CLIENTS.to_string());
}

async fn count_up(store: &Arc<dyn Store>, key: RecordKey, now: Timestamp) {
    loop {
        let Ok(Some(Entry::Live(stored))) = store.load(&key).await else {
            panic!("the record is missing")
        };
        let count: usize = std::str::from_utf8(&stored.bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("the record is not a number: {:?}", stored.bytes));
        let record = Draft::new((count + 1).to_string(), now, FAR);
        let replace = Commit::replace(key, stored.revision, record);
        match store.commit(replace).await {
            Ok(Outcome::Done(_)) => return,
            Ok(Outcome::Conflict(_)) => (),
            other => panic!("replacing the record returned {other:?}"),
        }
    }
}

async fn one_of_many_rotations_wins(subject: &Subject<'_>) {
    let (from, revision) = subject.created("first", FAR).await;
    let keys: Vec<_> = (0..CLIENTS).map(|_| new_key_beside(from)).collect();
    let outcomes = all_at_once(subject, |client| {
        let tombstone = subject.time.now() + FAR;
        Commit::rotate(from, Some(revision), keys[client], subject.draft("rotated", FAR), tombstone)
    });
    assert_eq!(winners(&outcomes.await), 1);
    let mut live = 0;
    for key in keys {
        live += usize::from(subject.load(key).await.is_some());
    }
    assert_eq!(live, 1, "one session was rotated to {live} keys");
}

async fn nothing_survives_a_destroy(subject: &Subject<'_>) {
    let (key, expected) = subject.created("first", FAR).await;
    let outcomes = all_at_once(subject, |client| {
        if client == CLIENTS / 2 {
            Commit::destroy(key, subject.time.now() + FAR)
        } else {
            let record = subject.draft("late", FAR);
            Commit::replace(key, expected, record)
        }
    });
    outcomes.await;
    subject.assert_destroyed(key).await;
}

/// Makes one commit for each client, all at once.
async fn all_at_once(subject: &Subject<'_>, commit: impl Fn(usize) -> Commit) -> Vec<Outcome> {
    let outcomes = together((0..CLIENTS).map(|client| {
        let (store, commit) = (subject.store.clone(), commit(client));
        async move { store.commit(commit).await }
    }));
    let outcomes = outcomes.await.into_iter().map(|outcome| match outcome {
        Ok(outcome) => outcome,
        Err(error) => panic!("a client's commit failed: {error:?}"),
    });
    outcomes.collect()
}

/// Runs every client in a separate task.
async fn together<F>(clients: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let running: Vec<_> = clients.map(tokio::spawn).collect();
    let mut results = Vec::with_capacity(running.len());
    for client in running {
        results.push(client.await.unwrap_or_else(|error| panic!("a client panicked: {error}")));
    }
    results
}

fn winners(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done(_))).count()
}
