//! Rotations that stop in the middle, and cells that the database deletes early.

use std::sync::{Arc, Mutex};

use futures_util::{FutureExt, future::BoxFuture};

use super::{
    CellStore, IDLE, Subject, key,
    model::{Expiry, ModelCells, Versions},
    schedule::{Choices, Task, every_schedule, run},
};
use crate::{
    Commit, Draft, Entry, Outcome, Store, StoreError, TOMBSTONE,
    clock::{Clock, Timestamp},
};

type Results = Arc<Mutex<Vec<Result<Outcome, StoreError>>>>;

/// Makes a task of a step on scheduled calls, which notes its result.
fn task(store: CellStore<ModelCells>, commit: Commit, results: &Results) -> Task {
    let results = results.clone();
    Box::pin(async move {
        let result = store.commit(commit).await;
        results.lock().unwrap().push(result);
    })
}

fn live_keys(subject: &Subject, keys: &[u8]) -> Vec<u8> {
    let is_live = |number: &&u8| matches!(subject.load(**number), Some(Entry::Live(_)));
    keys.iter().filter(is_live).copied().collect()
}

/// Every call of a rotation fails before or after its effect, or takes effect later.
#[test]
fn exactly_one_key_is_live_at_each_moment_of_an_interrupted_rotation() {
    for is_regenerated in [true, false] {
        for needs_tombstone in [true, false] {
            let schedules = every_schedule(|choices| {
                let subject = Subject::new();
                let mut expected = subject.create(1);
                if needs_tombstone {
                    subject.rotate_without_last_step(1, Some(expected), 2);
                    expected = subject.live(2).revision;
                } else {
                    expected = subject.done(subject.rotate(1, Some(expected), 2));
                }
                assert_eq!(subject.needs_tombstone(2), needs_tombstone);
                subject.cells.model().faults = 1;
                let results = Results::default();
                let rotate = subject.rotate(2, is_regenerated.then_some(expected), 3);
                let store = subject.scheduled_on(choices);
                run(&subject.cells, choices, vec![task(store, rotate, &results)], || {
                    assert_eq!(live_keys(&subject, &[1, 2, 3]).len(), 1);
                });
                check_end(&subject, &results.lock().unwrap(), is_regenerated);
            });
            assert!(schedules >= 15, "{schedules}");
        }
    }
}

/// A rotation that has succeeded is complete, and one that has failed may be.
fn check_end(subject: &Subject, results: &[Result<Outcome, StoreError>], is_regenerated: bool) {
    let is_rotated = live_keys(subject, &[3]) == [3];
    assert!(is_rotated || results[0].is_err(), "{results:?}");
    if is_rotated {
        let successor = is_regenerated.then(|| key(3));
        let expires = subject.clock.now() + TOMBSTONE;
        assert_eq!(subject.load(2), Some(Entry::tombstone(successor, expires)));
    }
}

/// A logout that has returned is final, whatever happens to a rotation at the same time.
#[test]
fn no_interrupted_rotation_brings_a_destroyed_session_back() {
    let schedules = every_schedule(|choices| {
        let subject = Subject::new();
        let expected = subject.create(1);
        subject.cells.model().faults = 1;
        let (rotated, destroyed) = (Results::default(), Results::default());
        let until = subject.clock.now() + TOMBSTONE;
        let tasks = vec![
            task(subject.scheduled_on(choices), subject.rotate(1, Some(expected), 2), &rotated),
            task(subject.scheduled_on(choices), Commit::destroy(key(1), until), &destroyed),
        ];
        run(&subject.cells, choices, tasks, || {
            let live = live_keys(&subject, &[1, 2]);
            assert!(live.len() <= 1, "{live:?}");
            if matches!(destroyed.lock().unwrap()[..], [Ok(Outcome::Done(_))]) {
                assert!(live.is_empty(), "{live:?} came back");
            }
        });
        // A logout that came too late finds the successor.
        if matches!(destroyed.lock().unwrap()[..], [Ok(Outcome::Gone)]) {
            assert_eq!(subject.load(1), Some(Entry::tombstone(Some(key(2)), until)));
            subject.done(Commit::destroy(key(2), until));
            assert!(live_keys(&subject, &[1, 2]).is_empty());
        }
    });
    assert!(schedules > 300, "{schedules}");
}

/// The database deletes any one cell at any one moment.
#[test]
fn an_evicted_cell_ends_sessions_and_brings_none_back() {
    let schedules = every_schedule(|choices| {
        let subject = Subject::new();
        let expected = subject.create(1);
        let (results, until) = (Results::default(), subject.clock.now() + TOMBSTONE);
        let tasks = vec![
            task(subject.scheduled_on(choices), subject.rotate(1, Some(expected), 2), &results),
            task(subject.scheduled_on(choices), Commit::destroy(key(1), until), &results),
        ];
        let (mut has_evicted, mut has_ended) = (false, [false; 2]);
        run(&subject.cells, choices, tasks, || {
            if !has_evicted {
                let evicted = choices.lock().unwrap().choose(3);
                has_evicted = evicted > 0;
                subject.evict(u8::try_from(evicted).unwrap());
            }
            let live = live_keys(&subject, &[1, 2]);
            assert!(live.len() <= 1, "{live:?}");
            for (number, has_ended) in [1, 2].into_iter().zip(&mut has_ended) {
                assert!(!*has_ended || !live.contains(&number), "{number} came back");
                *has_ended |= matches!(subject.load(number), Some(Entry::Tombstone { .. }));
            }
            has_ended[0] |= !live.contains(&1);
        });
    });
    assert!(schedules > 100, "{schedules}");
}

/// The database keeps the tombstone for as long as the record needs it.
#[test]
fn a_record_outlives_the_deadline_of_the_tombstone_that_it_needs() {
    for expiry in [Expiry::AtOnce, Expiry::Never] {
        let subject = Subject::with(Versions::Counted, expiry);
        let expected = subject.create(1);
        subject.rotate_without_last_step(1, Some(expected), 2);
        subject.clock.advance(TOMBSTONE);
        assert_eq!(subject.load(1), None);
        let expires = subject.live(2).expires;
        subject.clock.set(Timestamp::from_millis(expires.as_millis() - 1));
        assert!(subject.needs_tombstone(2));
        let live = subject.live(2);
        subject.done(Commit::touch(key(2), live.revision, subject.clock.now() + IDLE));
        assert!(!subject.needs_tombstone(2));
        subject.clock.advance(IDLE / 2);
        assert_eq!(subject.live(2).bytes, "rotated");
    }
}

#[test]
fn each_change_makes_a_record_independent_of_its_tombstone() {
    for change in
        [Commit::replace, |key, expected, draft: Draft| Commit::touch(key, expected, draft.expires)]
    {
        let subject = Subject::new();
        let expected = subject.create(1);
        subject.rotate_without_last_step(1, Some(expected), 2);
        subject.done(change(key(2), subject.live(2).revision, subject.draft("changed")));
        subject.evict(1);
        assert_eq!(live_keys(&subject, &[1, 2]), [2]);
    }
}

#[test]
fn a_new_record_over_an_expired_tombstone_spares_the_record_that_needs_it() {
    let subject = Subject::with(Versions::Counted, Expiry::Never);
    let expected = subject.create(1);
    subject.rotate_without_last_step(1, Some(expected), 2);
    subject.clock.advance(TOMBSTONE);
    subject.create(1);
    assert_eq!(live_keys(&subject, &[1, 2]), [1, 2]);
}

/// Starts a step and lets it make `calls` calls.
fn started(
    subject: &Subject,
    choices: &Arc<Mutex<Choices>>,
    commit: Commit,
    calls: usize,
) -> BoxFuture<'static, Result<Outcome, StoreError>> {
    let store = subject.scheduled_on(choices);
    let mut step = async move { store.commit(commit).await }.boxed();
    for _ in 0..=calls {
        assert!(step.as_mut().now_or_never().is_none(), "the step has no more calls");
    }
    step
}

fn finished<T>(mut step: BoxFuture<'static, T>) -> T {
    (0..100).find_map(|_| step.as_mut().now_or_never()).unwrap()
}

#[test]
fn a_rotation_that_lost_a_race_leaves_no_record() {
    let subject = Subject::new();
    let expected = subject.create(1);
    let rotate = subject.rotate(1, Some(expected), 2);
    let rotation = started(&subject, &Choices::none(), rotate, 2);
    assert!(subject.needs_tombstone(2));
    subject.done(Commit::replace(key(1), expected, subject.draft("second")));
    assert_eq!(finished(rotation).unwrap(), Outcome::Conflict(subject.live(1)));
    assert!(!subject.cells.model().cells.contains_key(&key(2)));
}

#[test]
fn a_rotation_succeeds_even_if_its_last_step_fails() {
    let subject = Subject::new();
    let rotate = subject.rotate(1, Some(subject.create(1)), 2);
    let fails = Arc::new(Mutex::new(Choices::All { path: vec![(1, 2)], made: 0 }));
    let rotation = started(&subject, &fails, rotate, 3);
    subject.cells.model().faults = 1;
    let outcome = finished(rotation).unwrap();
    assert_eq!(subject.cells.model().faults, 0, "the fault has happened");
    assert_eq!(outcome, Outcome::Done(subject.live(2).revision));
    assert!(subject.needs_tombstone(2));
}

#[test]
fn the_new_key_of_a_rotation_under_way_is_taken() {
    let subject = Subject::new();
    let rotate = subject.rotate(1, Some(subject.create(1)), 2);
    let rotation = started(&subject, &Choices::none(), rotate, 2);
    assert_eq!(subject.load(2), None);
    assert_eq!(subject.commit(Commit::create(key(2), subject.draft("x"))), Outcome::Exists);
    assert!(matches!(finished(rotation).unwrap(), Outcome::Done(_)));
    assert_eq!(subject.live(2).bytes, "rotated");
}

/// The load has read the record when it needed the tombstone, and reads the tombstone too late.
#[test]
fn a_load_finds_a_record_whose_tombstone_has_just_become_needless() {
    let subject = Subject::new();
    let expected = subject.create(1);
    subject.rotate_without_last_step(1, Some(expected), 2);
    let store = subject.scheduled_on(&Choices::none());
    let mut load = async move { store.load(&key(2)).await }.boxed();
    assert!((0..=1).all(|_| load.as_mut().now_or_never().is_none()));
    let live = subject.live(2);
    subject.done(Commit::touch(key(2), live.revision, live.expires));
    subject.evict(1);
    assert_eq!(finished(load).unwrap(), Some(Entry::Live(live)));
}
