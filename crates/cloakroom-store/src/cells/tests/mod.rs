//! Tests on cells in memory.

mod concurrency;
mod history;
mod interruptions;
mod model;
mod schedule;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::FutureExt;
use model::{Expiry, ModelCells, Versions};
use schedule::Choices;

use super::{CellStore, Cells, Swap, Swapped};
use crate::{
    Commit, Draft, Entry, Outcome, RecordKey, Revision, Store, StoreError, StoredRecord, TOMBSTONE,
    clock::{Clock, FakeClock},
};

const IDLE: Duration = Duration::from_hours(2);

/// A store on cells in memory, whose calls do not wait.
struct Subject {
    clock: Arc<FakeClock>,
    cells: ModelCells,
    store: CellStore<ModelCells>,
}

impl Subject {
    fn new() -> Self {
        Self::with(Versions::Counted, Expiry::AtOnce)
    }

    fn with(versions: Versions, expiry: Expiry) -> Self {
        let clock = Arc::new(FakeClock::default());
        let cells = ModelCells::new(clock.clone(), versions, expiry);
        let store = CellStore::with_clock(cells.clone(), clock.clone());
        Self { clock, cells, store }
    }

    fn load(&self, number: u8) -> Option<Entry> {
        self.store.load(&key(number)).now_or_never().unwrap().unwrap()
    }

    fn commit(&self, commit: Commit) -> Outcome {
        self.store.commit(commit).now_or_never().unwrap().unwrap()
    }

    fn done(&self, commit: Commit) -> Revision {
        match self.commit(commit) {
            Outcome::Done(revision) => revision,
            other => panic!("the step was refused: {other:?}"),
        }
    }

    fn live(&self, number: u8) -> StoredRecord {
        match self.load(number) {
            Some(Entry::Live(stored)) => stored,
            other => panic!("a live record was expected, found {other:?}"),
        }
    }

    fn draft(&self, text: &str) -> Draft {
        Draft::new(text.to_owned(), self.clock.now(), IDLE)
    }

    fn create(&self, number: u8) -> Revision {
        self.done(Commit::create(key(number), self.draft("first")))
    }

    fn rotate(&self, from: u8, expected: Option<Revision>, to: u8) -> Commit {
        let tombstone = self.clock.now() + TOMBSTONE;
        Commit::rotate(key(from), expected, key(to), self.draft("rotated"), tombstone)
    }

    /// Makes a rotation that stops before its last step, so that the record under `to` needs the
    /// tombstone under `from`.
    fn rotate_without_last_step(&self, from: u8, expected: Option<Revision>, to: u8) {
        let store = self.scheduled_on(&Choices::none());
        let mut rotation = store.commit(self.rotate(from, expected, to));
        // The calls are: read, insert, replace.
        for _ in 0..=3 {
            assert!(rotation.as_mut().now_or_never().is_none(), "the rotation has more calls");
        }
    }

    /// Returns a store on the same cells, whose calls are ordered by `choices`.
    fn scheduled_on(&self, choices: &Arc<Mutex<Choices>>) -> CellStore<ModelCells> {
        let cells = self.cells.scheduled(choices);
        CellStore::with_clock(cells, self.clock.clone())
    }

    fn needs_tombstone(&self, number: u8) -> bool {
        let model = self.cells.model();
        let content =
            super::format::Content::decode(&key(number), &model.cells[&key(number)].bytes);
        content.unwrap().kind.rotated_from().is_some()
    }

    fn evict(&self, number: u8) {
        self.cells.model().cells.remove(&key(number));
    }
}

fn key(number: u8) -> RecordKey {
    RecordKey::from_bytes([number; 32])
}

#[cfg(feature = "conformance")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cell_store_conforms_as_value_and_behind_pointers() {
    use crate::conformance;
    for versions in [Versions::Counted, Versions::OfBytes] {
        for expiry in [Expiry::AtOnce, Expiry::Never] {
            let subject = || Subject::with(versions, expiry);
            let Subject { clock, store, .. } = subject();
            let rules = conformance::check(Arc::new(store), &*clock).await;
            assert!(rules > 25, "{rules}");
            let Subject { clock, store, .. } = subject();
            let boxed: Box<dyn Store> = Box::new(store);
            assert_eq!(conformance::check(Arc::new(boxed), &*clock).await, rules);
            let Subject { clock, store, .. } = subject();
            let shared: Arc<dyn Store> = Arc::new(store);
            assert_eq!(conformance::check(Arc::new(shared), &*clock).await, rules);
        }
    }
}

#[test]
fn the_store_has_the_name_of_its_cells_and_no_capability() {
    let Subject { store, .. } = Subject::new();
    assert_eq!(store.name(), "model");
    assert!(store.as_owner_index().is_none() && store.as_scan().is_none());
    assert!(store.as_sweep().is_none());
}

/// The numbers are those of the module page.
#[test]
fn each_step_makes_few_calls() {
    let subject = Subject::new();
    let calls = |step: &dyn Fn()| {
        let count = || {
            let model = subject.cells.model();
            (model.reads, model.swaps)
        };
        let before = count();
        step();
        let after = count();
        (after.0 - before.0, after.1 - before.1)
    };
    assert_eq!(calls(&|| _ = subject.create(1)), (0, 1));
    assert_eq!(calls(&|| _ = subject.live(1)), (1, 0));
    let expected = subject.live(1).revision;
    let touch = Commit::touch(key(1), expected, subject.clock.now() + IDLE);
    assert_eq!(calls(&|| _ = subject.done(touch.clone())), (1, 1));
    let replace = Commit::replace(key(1), expected, subject.draft("second"));
    assert_eq!(calls(&|| _ = subject.done(replace.clone())), (1, 1));
    assert_eq!(calls(&|| _ = subject.done(subject.rotate(1, None, 2))), (2, 3));
    assert_eq!(calls(&|| _ = subject.live(2)), (1, 0));
    let destroy = Commit::destroy(key(2), subject.clock.now() + TOMBSTONE);
    assert_eq!(calls(&|| _ = subject.done(destroy.clone())), (1, 1));
}

#[test]
fn a_record_that_takes_the_place_of_an_expired_one_has_another_revision() {
    let subject = Subject::with(Versions::Counted, Expiry::Never);
    let expired = Draft::new("expired", subject.clock.now(), Duration::ZERO);
    let first = subject.done(Commit::create(key(1), expired));
    assert_ne!(subject.create(1), first);
}

#[test]
fn an_unreadable_cell_is_an_absence_and_stays() {
    let subject = Subject::new();
    let deadline = subject.clock.now() + IDLE;
    let foreign = Swap::insert("another program's", deadline);
    let swapped = subject.cells.swap(&key(1), foreign).now_or_never().unwrap().unwrap();
    assert_eq!(swapped, Swapped::Done);
    assert_eq!(subject.load(1), None);
    assert_eq!(subject.commit(Commit::create(key(1), subject.draft("x"))), Outcome::Exists);
    assert_eq!(subject.commit(Commit::destroy(key(1), deadline)), Outcome::Gone);
    let expected = subject.create(2);
    assert_eq!(subject.commit(subject.rotate(2, Some(expected), 1)), Outcome::Exists);
    assert_eq!(subject.cells.model().cells[&key(1)].bytes, "another program's");
}

#[test]
fn the_cell_of_another_key_signs_nobody_in() {
    let subject = Subject::new();
    subject.create(1);
    let bytes = subject.cells.model().cells[&key(1)].bytes.clone();
    let misplaced = Swap::insert(bytes, subject.clock.now() + IDLE);
    subject.cells.swap(&key(2), misplaced).now_or_never().unwrap().unwrap();
    assert_eq!(subject.load(2), None);
}

#[test]
fn a_cell_that_differs_forever_is_an_error() {
    #[derive(Debug)]
    struct Contended(ModelCells);

    #[crate::async_trait]
    impl Cells for Contended {
        type Version = bytes::Bytes;

        async fn read(
            &self,
            key: &RecordKey,
        ) -> Result<Option<crate::cells::Cell<Self::Version>>, StoreError> {
            self.0.read(key).await
        }

        async fn swap(&self, _: &RecordKey, _: Swap<Self::Version>) -> Result<Swapped, StoreError> {
            Ok(Swapped::Differs)
        }
    }

    let subject = Subject::new();
    subject.create(1);
    let store = CellStore::with_clock(Contended(subject.cells.clone()), subject.clock.clone());
    for commit in [
        Commit::create(key(2), subject.draft("x")),
        Commit::destroy(key(1), subject.clock.now() + TOMBSTONE),
    ] {
        let error = store.commit(commit).now_or_never().unwrap().unwrap_err();
        assert!(error.is_unavailable(), "{error}");
    }
}
