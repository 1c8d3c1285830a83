//! The events that a request's commit reports.

use crate::{
    backend::{
        Backend,
        commit::{CommitOutcome, PendingCommit},
        decide::{Accepts, Persistence, Step},
        events::{EndedBy, SessionEventKind},
    },
    record::{handle::SessionHandle, owner::Owner},
    session::Session,
};
use cloakroom_store::RecordKey;

/// The part of a commit that its events need and that its outcome does not contain.
pub(super) struct Reported {
    /// The owner and the key of the session before the commit.
    former_owner: Option<Owner>,
    former_key: Option<RecordKey>,
    /// The owner that the commit sets.
    new_owner: Option<Owner>,
}

impl Session {
    /// Prepares the events of a commit. Returns `None` without a subscriber.
    pub(super) fn prepare_report(&self, pending: &PendingCommit) -> Option<Reported> {
        self.sessions().context().has_subscriber().then(|| Reported {
            former_owner: self.state().work.former_owner().cloned(),
            former_key: pending.key,
            new_owner: pending.changes.owner(),
        })
    }

    /// Reports the events of a commit that has succeeded. The state is not locked.
    pub(super) fn report(&self, reported: Option<Reported>, outcome: &CommitOutcome) {
        let Some(reported) = reported else { return };
        let context = self.sessions().context();
        let owner = outcome.record.owner.as_ref();
        let handle = || self.handle_of(owner, outcome.key);
        let destroyed = || {
            let owner = reported.former_owner.as_ref();
            let handle = self.handle_of(owner, reported.former_key);
            context.report(SessionEventKind::Destroyed(EndedBy::Visitor), owner, handle);
        };
        let created = || context.report(SessionEventKind::Created, owner, handle());
        match outcome.step {
            Step::Create { .. } => created(),
            Step::Rotate { accepts: Accepts::Any, .. } => {
                destroyed();
                created();
            }
            Step::Rotate { accepts: Accepts::Expected, .. } => {
                context.report(SessionEventKind::Regenerated, owner, handle());
            }
            Step::Destroy => destroyed(),
            // The commit reports the end of a session that it has followed to another key itself.
            Step::DestroySuccessor | Step::Replace { .. } | Step::Touch { .. } | Step::Nothing => {}
        }
        let is_stored = matches!(outcome.persistence, Persistence::Stored { .. });
        if let (Some(new), true) = (&reported.new_owner, is_stored) {
            // Another request in the same commit may have set another owner after this one.
            let is_replaced = new.is_other_than(owner);
            let owner = if is_replaced { Some(new) } else { owner };
            let handle = if is_replaced { None } else { handle() };
            context.report(SessionEventKind::SignedIn, owner, handle);
        }
    }

    fn handle_of(&self, owner: Option<&Owner>, key: Option<RecordKey>) -> Option<SessionHandle> {
        match self.sessions().backend() {
            Backend::Cookie(_) => None,
            Backend::Store(backend) => Some(backend.handle(owner, key?)),
        }
    }
}
