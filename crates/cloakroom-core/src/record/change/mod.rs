//! The change log: the changes that one request made to its session. A commit replays them on the
//! record if another request has written it in the meantime. The guide's page on concurrency has the
//! rule for every pair of changes.

pub(crate) mod closure;

use std::{fmt, sync::Arc, time::Duration};

use bytestring::ByteString;

use crate::{
    error::Error,
    form::field::Fields,
    record::{
        Record,
        device::{BoundDevice, DeviceId},
        flash::{Batch, BatchId},
        owner::{Owner, OwnerStamp, SessionId},
    },
    values::{Path, number::Delta},
};
use cloakroom_store::clock::Timestamp;

/// Computes the new value from the current one.
pub(crate) type Rerun = Arc<dyn Fn(Option<&str>) -> Result<ByteString, Error> + Send + Sync>;

/// One operation, in a form that can be replayed on another record.
#[derive(Clone)]
pub(crate) enum Change {
    Put {
        path: Path,
        value: ByteString,
    },
    /// Puts a value that ends at this moment.
    PutUntil {
        path: Path,
        value: ByteString,
        at: Timestamp,
    },
    /// Puts a value where there is none, or `null`.
    PutMissing {
        path: Path,
        value: ByteString,
    },
    Forget {
        path: Path,
    },
    Increment {
        path: Path,
        by: Delta,
    },
    Update {
        path: Path,
        rerun: Rerun,
    },
    Clear,
    /// Sets or removes the owner. The id is that of a session that gets this owner newly.
    Own(Option<Owner>),
    /// Sets the stamp of this owner. Another owner's session keeps its own.
    Stamp {
        owner: Box<str>,
        stamp: OwnerStamp,
    },
    /// Binds a session to a device, unless it is bound to one. The id is that of the sign-in that the device has
    /// registered for.
    Bind {
        session: SessionId,
        device: Box<BoundDevice>,
    },
    /// Ends the binding of this id.
    Unbind(DeviceId),
    Label(Box<str>),
    /// The session's own idle timeout, in ms. `None`: that of the settings.
    IdleTimeout(Option<u64>),
    /// Whether the cookie ends with the browser.
    BrowserSession(bool),
    /// The absolute deadline.
    AbsoluteDeadline(Option<Timestamp>),
    Flash(Box<Batch>),
    /// Flashes the form input of a request, in place of the input that it has flashed before.
    FlashInput(Box<Batch>),
    /// Removes the named messages from these batches.
    DiscardFlash {
        names: Box<[Box<str>]>,
        batches: Vec<BatchId>,
    },
    /// Keeps flash from the batches `incoming_ids` for one more page.
    Keep {
        batch: Box<Batch>,
        incoming_ids: Vec<BatchId>,
    },
    Consume(Vec<BatchId>),
}

impl Change {
    /// Sets the session's own idle timeout. `None`: that of the settings.
    pub(crate) fn idle_timeout(idle: Option<Duration>) -> Self {
        let millis = |idle: Duration| u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        Self::IdleTimeout(idle.map(millis))
    }

    /// Makes this change. A change that fails leaves the record unchanged.
    pub(crate) fn apply(&self, record: &mut Record) -> Result<(), Error> {
        let values = &mut record.values;
        match self {
            Self::Put { path, value } => {
                values.put(path.borrow(), value.clone())?;
                record.forget_value_deadlines(path.borrow());
            }
            Self::PutUntil { path, value, at } => {
                values.put(path.borrow(), value.clone())?;
                record.set_value_deadline(path.borrow(), *at);
            }
            Self::PutMissing { path, value } => {
                if values.raw(path.borrow()).is_none_or(|had| had == "null") {
                    values.put(path.borrow(), value.clone())?;
                    record.forget_value_deadlines(path.borrow());
                }
            }
            Self::Forget { path } => {
                values.forget(path.borrow());
                record.forget_value_deadlines(path.borrow());
            }
            Self::Increment { path, by } => {
                values.add(path.borrow(), *by, |_| Ok(()))?;
            }
            Self::Update { path, rerun } => {
                let value = closure::run(|| rerun(values.raw(path.borrow())))??;
                values.put(path.borrow(), value)?;
            }
            Self::Clear => {
                values.clear();
                record.value_deadlines.clear();
            }
            Self::Own(owner) => {
                let had = record.owner.as_ref();
                if owner.as_ref().is_none_or(|owner| owner.is_other_than(had)) {
                    record.device = None;
                }
                record.owner = owner.as_ref().map(|owner| owner.after(record.owner.as_ref()));
            }
            Self::Stamp { owner, stamp } => {
                if let Some(had) = record.owner.as_mut().filter(|had| had.name == *owner) {
                    had.stamp = Some(*stamp);
                }
            }
            // A concurrent request may have changed the owner, and the device is not the new one's.
            Self::Bind { session, device } => {
                let id = record.owner.as_ref().map(|owner| owner.id);
                if id == Some(*session) && record.device.is_none() {
                    record.device = Some(device.clone());
                }
            }
            Self::Unbind(id) => {
                record.device = record.device.take().filter(|device| device.id != *id);
            }
            Self::Label(label) => record.label = Some(label.clone()),
            Self::IdleTimeout(millis) => record.idle_timeout = *millis,
            Self::BrowserSession(ends) => record.browser_session = Some(*ends),
            Self::AbsoluteDeadline(deadline) => record.absolute_deadline = *deadline,
            Self::Flash(batch) => record.flash.add(Batch::clone(batch)),
            Self::FlashInput(batch) => record.flash.replace_input(Batch::clone(batch)),
            Self::DiscardFlash { names, batches } => {
                let names: Vec<_> = names.iter().map(|name| &**name).collect();
                record.flash.discard_messages(&Fields::named(&names), batches)?;
            }
            Self::Keep { batch, incoming_ids } => {
                record.flash.keep(Batch::clone(batch), incoming_ids);
            }
            Self::Consume(incoming_ids) => record.flash.consume(incoming_ids),
        }
        Ok(())
    }

    /// Returns whether this puts the value that `record` has, or forgets one that it does not have. A value
    /// with a deadline is another one, because a plain `put` removes the deadline.
    fn repeats(&self, record: &Record) -> bool {
        let (path, value) = match self {
            Self::Put { path, value } => (path.borrow(), Some(&**value)),
            Self::Forget { path } => (path.borrow(), None),
            _ => return false,
        };
        record.values.changeable(path) == value && !record.has_value_deadline(path)
    }

    /// Returns whether this changes the value at `path`.
    fn concerns(&self, path: Path<&str>) -> bool {
        match self {
            Self::Put { path: own, .. }
            | Self::PutUntil { path: own, .. }
            | Self::PutMissing { path: own, .. }
            | Self::Forget { path: own }
            | Self::Increment { path: own, .. }
            | Self::Update { path: own, .. } => own.borrow().overlaps(path),
            Self::Clear => true,
            _ => false,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Put { .. } => "put",
            Self::PutUntil { .. } => "put_until",
            Self::PutMissing { .. } => "put_missing",
            Self::Forget { .. } => "forget",
            Self::Increment { .. } => "increment",
            Self::Update { .. } => "update",
            Self::Clear => "clear",
            Self::Own(_) => "own",
            Self::Stamp { .. } => "stamp",
            Self::Bind { .. } => "bind",
            Self::Unbind(_) => "unbind",
            Self::Label(_) => "label",
            Self::IdleTimeout(_) => "idle_timeout",
            Self::BrowserSession(_) => "browser_session",
            Self::AbsoluteDeadline(_) => "absolute_deadline",
            Self::Flash(_) => "flash",
            Self::FlashInput(_) => "flash_input",
            Self::DiscardFlash { .. } => "discard_flash",
            Self::Keep { .. } => "keep",
            Self::Consume(_) => "consume",
        }
    }
}

/// Shows the name of the operation and hides its contents.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The changes of one request since it loaded the session or last committed, in order.
///
/// A clone shares the list, because a commit takes a copy while the log stays with the session.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChangeLog(Option<Arc<Vec<Change>>>);

impl ChangeLog {
    fn changes(&self) -> &[Change] {
        self.0.as_ref().map_or(&[], |changes| changes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.changes().is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.changes().len()
    }

    /// Returns which kind of change the log makes to the record.
    pub(crate) fn contents(&self) -> Contents {
        let lifetime = |change: &Change| {
            matches!(
                change,
                Change::IdleTimeout(_) | Change::AbsoluteDeadline(_) | Change::BrowserSession(_)
            )
        };
        match self.changes() {
            [] => Contents::Unchanged,
            changes if changes.iter().any(lifetime) => Contents::Lifetime,
            _ => Contents::Changed,
        }
    }

    /// Returns the owner that the log gives to a session without an owner.
    pub(crate) fn owner(&self) -> Option<Owner> {
        let mut had = None;
        for change in self.changes() {
            if let Change::Own(owner) = change {
                had = owner.as_ref().map(|owner| owner.after(had.as_ref()));
            }
        }
        had
    }

    /// Returns the ids of the flash batches that the log writes.
    pub(crate) fn flashed(&self) -> Vec<BatchId> {
        let id = |change: &Change| match change {
            Change::Flash(batch) | Change::FlashInput(batch) | Change::Keep { batch, .. } => {
                Some(batch.id)
            }
            _ => None,
        };
        self.changes().iter().filter_map(id).collect()
    }

    /// Returns whether a replay runs closures of the application.
    pub(crate) fn has_closures(&self) -> bool {
        self.changes().iter().any(|change| matches!(change, Change::Update { .. }))
    }

    /// Returns whether `change` has no effect after this log. `record` contains the log. An earlier change of
    /// the same value gives it an effect, because the replay may lead to another value.
    pub(crate) fn makes_needless(&self, change: &Change, record: &Record) -> bool {
        let (Change::Put { path, .. } | Change::Forget { path }) = change else { return false };
        !self.changes().iter().any(|made| made.concerns(path.borrow())) && change.repeats(record)
    }

    pub(crate) fn push(&mut self, change: Change) {
        Arc::make_mut(self.0.get_or_insert_default()).push(change);
    }

    /// Returns the changes after the first `len`.
    pub(crate) fn since(&self, len: usize) -> Self {
        match self.changes().get(len..) {
            None | Some([]) => Self::default(),
            Some(_) if len == 0 => self.clone(),
            Some(rest) => Self(Some(Arc::new(rest.to_vec()))),
        }
    }

    /// Makes every change again on `record`. A change that fails there is dropped with a warning, as
    /// note 1 of the guide's page on concurrency explains.
    pub(crate) fn replay(&self, record: &mut Record) {
        for change in self.changes() {
            if let Err(error) = change.apply(record) {
                tracing::warn!(%error, ?change, "change dropped: a concurrent request has changed the value it applies to");
            }
        }
    }
}

/// The kind of change that a commit makes to a record. A later variant includes the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Contents {
    Unchanged,
    Changed,
    /// The timeouts of the session change as well.
    Lifetime,
}

#[cfg(test)]
mod tests;
