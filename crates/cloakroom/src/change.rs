//! The change log: what one request did to its session, so that it can be done again.
//!
//! A commit that finds another request's record replays this request's log on it. The outcome is
//! always one that some order of the two requests would have given.
//!
//! # How changes merge
//! *First* is the change whose request committed first; *then* is replayed on it.
//!
//! | first ＼ then | `put` | `forget` | `increment` | `update` | `clear` | flash |
//! |---|---|---|---|---|---|---|
//! | `put`, same path | the later put | removed | counts on the put value ¹ | closure sees the put value | all removed | both |
//! | `put`, other path | both ² | both | both | both | all removed | both |
//! | `forget`, same path | the put value | removed | counts from 0 | closure sees no value | all removed | both |
//! | `increment`, same path | the put value | removed | **both count** | closure sees the sum | all removed | both |
//! | `update`, same path | the put value | removed | counts on the result ¹ | **both closures ran** | all removed | both |
//! | `clear` | the put value alone | empty | counts from 0 | closure sees no value | empty | both |
//! | flash | both | both | both | both | both: `clear` leaves flash alone | both batches ³ |
//! | flash consumed | – | – | – | – | – | seen batches gone, new ones stay |
//! | `regenerate`, `destroy` | gone ⁴ | gone | gone | gone | gone | gone |
//!
//! 1. Where the value is no longer a number (or an `update` closure's type), the change counts as
//!    having come just before the one that replaced the value: it is dropped and a warning logged.
//! 2. Paths that contain each other (`user` and `user.theme`) are the same place: the later change
//!    decides what it covers, and a put below something that is no longer an object is dropped as
//!    in note 1.
//! 3. Of two messages, inputs or errors of one name the later is shown.
//! 4. The record is gone from under its key; nothing is written, no cookie is sent. A request that
//!    itself regenerates replays its log first, so it loses nothing that was committed before.

use std::{fmt, sync::Arc};

use serde_json::value::RawValue;

use crate::{
    error::Error,
    flash::{Batch, BatchId},
    number::Delta,
    record::Record,
    values::encode,
};

/// Computes a value anew from the current one.
pub(crate) type Rerun =
    Arc<dyn Fn(Option<&RawValue>) -> Result<Box<RawValue>, Error> + Send + Sync>;

/// One operation, in a form that can be replayed on another record.
#[derive(Clone)]
pub(crate) enum Change {
    Put { path: Box<str>, value: Box<RawValue> },
    Forget { path: Box<str> },
    Increment { path: Box<str>, by: Delta },
    Update { path: Box<str>, rerun: Rerun },
    Clear,
    Flash(Batch),
    Consume(Vec<BatchId>),
}

impl Change {
    /// Makes this change. A change that fails leaves the record as it was.
    pub(crate) fn apply(&self, record: &mut Record) -> Result<(), Error> {
        let values = &mut record.values;
        match self {
            Self::Put { path, value } => values.put(path, value.clone())?,
            Self::Forget { path } => values.forget(path),
            Self::Increment { path, by } => {
                let sum = values.sum(path, *by)?;
                values.put(path, encode(path, &sum)?)?;
            }
            Self::Update { path, rerun } => {
                let value = rerun(values.raw(path).as_deref())?;
                values.put(path, value)?;
            }
            Self::Clear => values.clear(),
            Self::Flash(batch) => record.flash.add(batch.clone()),
            Self::Consume(seen) => record.flash.consume(seen),
        }
        Ok(())
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put",
            Self::Forget { .. } => "forget",
            Self::Increment { .. } => "increment",
            Self::Update { .. } => "update",
            Self::Clear => "clear",
            Self::Flash(_) => "flash",
            Self::Consume(_) => "consume",
        }
    }
}

/// Names the operation and nothing of what it carries.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The changes of one request since it loaded the session or last committed, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChangeLog(Vec<Change>);

impl ChangeLog {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn push(&mut self, change: Change) {
        self.0.push(change);
    }

    /// Splits off the changes after the first `len`.
    pub(crate) fn split_off(&mut self, len: usize) -> Self {
        Self(self.0.split_off(len))
    }

    /// Makes every change again on `record`; see note 1 of the table for those that cannot be.
    pub(crate) fn replay(&self, record: &mut Record) {
        for change in &self.0 {
            if let Err(error) = change.apply(record) {
                tracing::warn!(%error, ?change, "superseded by a concurrent request's change");
            }
        }
    }
}

#[cfg(test)]
mod tests;
