//! What many clients at a time can see. Run on a runtime with several threads to make it hard.

use std::sync::Arc;

use super::{FAR, Subject, new_key, new_key_beside};
use crate::{Commit, Draft, Entry, Outcome, RecordKey, Store, clock::Timestamp};

const CLIENTS: usize = 32;

/// Runs every race and counts them.
pub(super) async fn check(it: &Subject<'_>) -> usize {
    one_of_many_creators_wins(it).await;
    one_of_many_replacers_of_a_revision_wins(it).await;
    no_count_is_lost(it).await;
    one_of_many_rotations_wins(it).await;
    nothing_survives_a_destroy(it).await;
    5
}

async fn one_of_many_creators_wins(it: &Subject<'_>) {
    let key = new_key();
    let outcomes =
        all_at_once(it, |client| Commit::create(key, it.draft(&client.to_string(), FAR)));
    assert_eq!(winners(&outcomes.await), 1);
}

async fn one_of_many_replacers_of_a_revision_wins(it: &Subject<'_>) {
    let (key, expected) = it.created("first", FAR).await;
    let outcomes = all_at_once(it, |client| {
        Commit::replace(key, expected, it.draft(&client.to_string(), FAR))
    });
    assert_eq!(winners(&outcomes.await), 1);
}

async fn no_count_is_lost(it: &Subject<'_>) {
    let (key, _) = it.created("0", FAR).await;
    let now = it.time.now();
    together((0..CLIENTS).map(|_| {
        let store = it.store.clone();
        async move { count_up(&store, key, now).await }
    }))
    .await;
    assert_eq!(it.live(key).await.bytes, CLIENTS.to_string());
}

async fn count_up(store: &Arc<dyn Store>, key: RecordKey, now: Timestamp) {
    loop {
        let Ok(Some(Entry::Live(stored))) = store.load(&key).await else {
            panic!("the record is gone")
        };
        let count: usize = std::str::from_utf8(&stored.bytes)
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or_else(|| panic!("the record is torn"));
        let record = Draft::new((count + 1).to_string(), now, FAR);
        let replace = Commit::replace(key, stored.revision, record);
        match store.commit(replace).await {
            Ok(Outcome::Done(_)) => return,
            Ok(Outcome::Conflict(_)) => (),
            other => panic!("counting answered {other:?}"),
        }
    }
}

async fn one_of_many_rotations_wins(it: &Subject<'_>) {
    let (from, revision) = it.created("first", FAR).await;
    let keys: Vec<_> = (0..CLIENTS).map(|_| new_key_beside(from)).collect();
    let outcomes = all_at_once(it, |client| {
        let tombstone = it.time.now() + FAR;
        Commit::rotate(from, Some(revision), keys[client], it.draft("rotated", FAR), tombstone)
    });
    assert_eq!(winners(&outcomes.await), 1);
    let mut live = 0;
    for key in keys {
        live += usize::from(it.load(key).await.is_some());
    }
    assert_eq!(live, 1, "one session became {live}");
}

async fn nothing_survives_a_destroy(it: &Subject<'_>) {
    let (key, expected) = it.created("first", FAR).await;
    let outcomes = all_at_once(it, |client| {
        if client == CLIENTS / 2 {
            Commit::destroy(key, it.time.now() + FAR)
        } else {
            let record = it.draft("late", FAR);
            Commit::replace(key, expected, record)
        }
    });
    outcomes.await;
    it.assert_destroyed(key).await;
}

/// One commit a client.
async fn all_at_once(it: &Subject<'_>, commit: impl Fn(usize) -> Commit) -> Vec<Outcome> {
    let outcomes = together((0..CLIENTS).map(|client| {
        let (store, commit) = (it.store.clone(), commit(client));
        async move { store.commit(commit).await }
    }));
    let outcomes = outcomes.await.into_iter().map(|outcome| match outcome {
        Ok(outcome) => outcome,
        Err(error) => panic!("a client's commit failed: {error:?}"),
    });
    outcomes.collect()
}

/// Runs every client on a task of its own.
async fn together<F>(clients: impl Iterator<Item = F>) -> Vec<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    let running: Vec<_> = clients.map(tokio::spawn).collect();
    let mut ended = Vec::with_capacity(running.len());
    for client in running {
        ended.push(client.await.unwrap_or_else(|error| panic!("a client panicked: {error}")));
    }
    ended
}

fn winners(outcomes: &[Outcome]) -> usize {
    outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Done(_))).count()
}
