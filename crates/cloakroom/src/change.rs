//! The change log: what one request did to its session, so that it can be done again on the record
//! that another request wrote meanwhile. [`crate::guide::concurrency`] has the rule for every pair of
//! changes.

use std::{fmt, sync::Arc};

use serde_json::value::RawValue;

use crate::{
    clock::Timestamp,
    error::Error,
    flash::{Batch, BatchId},
    number::Delta,
    owner::Owner,
    record::Record,
    values::encode,
};

/// Computes a value anew from the current one.
pub(crate) type Rerun =
    Arc<dyn Fn(Option<&RawValue>) -> Result<Box<RawValue>, Error> + Send + Sync>;

/// One operation, in a form that can be replayed on another record.
#[derive(Clone)]
pub(crate) enum Change {
    Put {
        path: Box<str>,
        value: Box<RawValue>,
    },
    Forget {
        path: Box<str>,
    },
    Increment {
        path: Box<str>,
        by: Delta,
    },
    Update {
        path: Box<str>,
        rerun: Rerun,
    },
    Clear,
    Own(Option<Owner>),
    Label(Box<str>),
    /// The idle timeout, in ms.
    Age(u64),
    /// The absolute deadline.
    Until(Option<Timestamp>),
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
                let value = rerun(values.raw(path))?;
                values.put(path, value)?;
            }
            Self::Clear => values.clear(),
            Self::Own(owner) => record.owner.clone_from(owner),
            Self::Label(label) => record.label = Some(label.clone()),
            Self::Age(millis) => record.age = Some(*millis),
            Self::Until(deadline) => record.until = *deadline,
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
            Self::Own(_) => "own",
            Self::Label(_) => "label",
            Self::Age(_) => "age",
            Self::Until(_) => "until",
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

    /// Whether the session is to live for another time than before.
    pub(crate) fn changes_lifetime(&self) -> bool {
        self.0.iter().any(|change| matches!(change, Change::Age(_) | Change::Until(_)))
    }

    pub(crate) fn push(&mut self, change: Change) {
        self.0.push(change);
    }

    /// Splits off the changes after the first `len`.
    pub(crate) fn split_off(&mut self, len: usize) -> Self {
        Self(self.0.split_off(len))
    }

    /// Makes every change again on `record`; note 1 of [`crate::guide::concurrency`] says what becomes
    /// of those that cannot be.
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
