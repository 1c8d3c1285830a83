//! Cells in memory, whose calls a schedule orders and makes fail.

use std::{
    collections::BTreeMap,
    future::poll_fn,
    sync::{Arc, Mutex, MutexGuard},
    task::Poll,
};

use super::schedule::Choices;
use crate::{
    RecordKey, StoreError, async_trait,
    cells::{Cell, Cells, Swap, Swapped},
    clock::{Clock, FakeClock, Timestamp},
};
use bytes::Bytes;

/// The versions of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Versions {
    /// Each write has the next number.
    Counted,
    /// The version is the bytes, as if it were a hash of them.
    OfBytes,
}

/// Whether a database deletes cells whose deadline has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expiry {
    AtOnce,
    Never,
}

/// The failure of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The request is lost.
    Request,
    /// The reply is lost.
    Reply,
    /// The request is carried out at a later time.
    Delay,
}

/// The faults that a swap can have.
const FAULTS: [Option<Fault>; 4] =
    [None, Some(Fault::Request), Some(Fault::Reply), Some(Fault::Delay)];

pub(super) struct Model {
    pub(super) cells: BTreeMap<RecordKey, Stored>,
    last: u64,
    clock: Arc<FakeClock>,
    versions: Versions,
    expiry: Expiry,
    /// Swaps that were sent and not carried out yet.
    pub(super) delayed: Vec<(RecordKey, Swap<Bytes>)>,
    /// The number of faults that may still happen.
    pub(super) faults: usize,
    pub(super) reads: usize,
    pub(super) swaps: usize,
}

pub(super) struct Stored {
    pub(super) bytes: Bytes,
    version: Bytes,
    deadline: Timestamp,
}

/// A connection to the database.
#[derive(Clone)]
pub(super) struct ModelCells {
    model: Arc<Mutex<Model>>,
    /// Orders the calls, if there are any.
    choices: Option<Arc<Mutex<Choices>>>,
}

impl ModelCells {
    pub(super) fn new(clock: Arc<FakeClock>, versions: Versions, expiry: Expiry) -> Self {
        let model = Model {
            cells: BTreeMap::new(),
            last: 0,
            clock,
            versions,
            expiry,
            delayed: Vec::new(),
            faults: 0,
            reads: 0,
            swaps: 0,
        };
        Self { model: Arc::new(Mutex::new(model)), choices: None }
    }

    /// Returns a connection whose calls wait for their turn and may fail.
    pub(super) fn scheduled(&self, choices: &Arc<Mutex<Choices>>) -> Self {
        Self { model: self.model.clone(), choices: Some(choices.clone()) }
    }

    pub(super) fn model(&self) -> MutexGuard<'_, Model> {
        self.model.lock().unwrap()
    }

    /// Waits for the turn of this call, and chooses its fault.
    async fn turn(&self, faults: &[Option<Fault>]) -> Option<Fault> {
        let choices = self.choices.as_ref()?;
        let mut waits = true;
        poll_fn(|_| if std::mem::take(&mut waits) { Poll::Pending } else { Poll::Ready(()) }).await;
        let mut model = self.model();
        if model.faults == 0 {
            return None;
        }
        let fault = faults[choices.lock().unwrap().choose(faults.len())];
        model.faults -= usize::from(fault.is_some());
        fault
    }
}

impl Model {
    fn current(&self, key: &RecordKey) -> Option<&Stored> {
        let is_deleted =
            |cell: &Stored| self.expiry == Expiry::AtOnce && cell.deadline <= self.clock.now();
        self.cells.get(key).filter(|cell| !is_deleted(cell))
    }

    pub(super) fn carry_out(&mut self, key: &RecordKey, swap: Swap<Bytes>) -> Swapped {
        let (expected, new) = match swap {
            Swap::Insert { bytes, deadline } => (None, Some((bytes, deadline))),
            Swap::Replace { version, bytes, deadline } => (Some(version), Some((bytes, deadline))),
            Swap::Delete { version } => (Some(version), None),
        };
        if self.current(key).map(|cell| &cell.version) != expected.as_ref() {
            return Swapped::Differs;
        }
        self.last += 1;
        match new {
            Some((bytes, deadline)) => {
                let version = match self.versions {
                    Versions::Counted => Bytes::copy_from_slice(&self.last.to_be_bytes()),
                    Versions::OfBytes => bytes.clone(),
                };
                self.cells.insert(*key, Stored { bytes, version, deadline });
            }
            None => drop(self.cells.remove(key)),
        }
        Swapped::Done
    }
}

fn lost() -> StoreError {
    StoreError::unavailable("reach the model", "the schedule says so")
}

#[async_trait]
impl Cells for ModelCells {
    type Version = Bytes;

    fn name(&self) -> &'static str {
        "model"
    }

    async fn read(&self, key: &RecordKey) -> Result<Option<Cell<Bytes>>, StoreError> {
        if self.turn(&FAULTS[..2]).await.is_some() {
            return Err(lost());
        }
        let mut model = self.model();
        model.reads += 1;
        let cell = model.current(key);
        Ok(cell.map(|cell| Cell::new(cell.bytes.clone(), cell.version.clone())))
    }

    async fn swap(&self, key: &RecordKey, swap: Swap<Bytes>) -> Result<Swapped, StoreError> {
        let fault = self.turn(&FAULTS).await;
        let mut model = self.model();
        model.swaps += 1;
        match fault {
            None => return Ok(model.carry_out(key, swap)),
            Some(Fault::Request) => (),
            Some(Fault::Reply) => drop(model.carry_out(key, swap)),
            Some(Fault::Delay) => model.delayed.push((*key, swap)),
        }
        Err(lost())
    }
}

impl std::fmt::Debug for ModelCells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ModelCells")
    }
}
