//! The members of a batch.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    backend::context::Context,
    crypto::token::Token,
    error::{Error, Kind},
    observe,
    record::Record,
};
use crate::{
    backend::{
        commit::{CommitOutcome, CookieUpdate, MemberError, PendingCommit, TokenAction},
        decide::{Persistence, Step},
        fit::fitting,
        turns::{Seat, Ticket},
    },
    record::change::Contents,
};

/// One commit of a batch.
pub(super) struct Member {
    pub(super) pending: Box<PendingCommit>,
    /// Whether the base of the batch already contains its changes.
    pub(super) is_applied: bool,
    /// The error of its changes on the current record.
    pub(super) error: Option<MemberError>,
}

/// A commit that the leader carries out for another request, with the seat to reply to.
pub(super) struct Follower {
    pub(super) member: Member,
    pub(super) seat: Seat,
}

/// When the size of the record is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SizeCheck {
    /// Once, after all changes.
    Whole,
    /// After the changes of each member, to find the ones that do not fit.
    Each,
}

impl Member {
    pub(super) fn new(pending: Box<PendingCommit>) -> Self {
        Self { pending, is_applied: false, error: None }
    }

    pub(super) fn contents(&self) -> Contents {
        if self.error.is_some() { Contents::Unchanged } else { self.pending.changes.contents() }
    }

    /// Makes all changes of this member on `record`. Leaves `record` unchanged if they fail.
    pub(super) fn apply(
        &self,
        record: &mut Arc<Record>,
        check: SizeCheck,
        context: &Context,
    ) -> Result<(), MemberError> {
        let PendingCommit { changes, before, .. } = &*self.pending;
        if changes.is_empty() || (self.is_applied && check == SizeCheck::Whole) {
            return Ok(());
        }
        if check == SizeCheck::Whole && !changes.can_fail() {
            return Ok(changes.apply(Arc::make_mut(record))?);
        }
        let mut changed = record.clone();
        if !self.is_applied {
            let apply = || changes.apply(Arc::make_mut(&mut changed));
            catch_unwind(AssertUnwindSafe(apply)).map_err(MemberError::Panic)??;
        }
        if check == SizeCheck::Each {
            let before = if self.is_applied { before } else { &*record };
            fitting(&mut changed, changes, |changed| check_size(changed, before, context))?;
        }
        *record = changed;
        Ok(())
    }

    /// Returns the outcome for a session that has ended, and logs the dropped changes.
    pub(super) fn ended_outcome(&self, empty: &Arc<Record>) -> CommitOutcome {
        let PendingCommit { token, action, changes, key, .. } = &*self.pending;
        // A task without a token drops nothing, because it repeats the commit under the new key.
        if let Some(session) = token.as_ref().map(Token::correlation) {
            match action {
                TokenAction::Rotate(_) => observe::regenerate_dropped(&session, changes.len()),
                TokenAction::Keep | TokenAction::Destroy(_) => {
                    observe::changes_dropped(&session, changes.len());
                }
            }
        }
        CommitOutcome {
            persistence: Persistence::Ended,
            key: *key,
            token: token.clone(),
            record: empty.clone(),
            cookie: CookieUpdate::Keep,
            step: Step::Nothing,
            refused: None,
        }
    }
}

impl From<Ticket> for Follower {
    fn from(Ticket { pending, seat }: Ticket) -> Self {
        Self { member: Member::new(pending), seat }
    }
}

impl From<Follower> for Ticket {
    fn from(Follower { member, seat }: Follower) -> Self {
        Self { pending: member.pending, seat }
    }
}

/// Checks the size of a changed record. A record above the limit is accepted if it is no larger than
/// `before`, because the limit may have been higher when that was written.
fn check_size(record: &Record, before: &Record, context: &Context) -> Result<(), Error> {
    let size_of = |record: &Record| record.encode(Some(context.apps())).map(|text| text.len());
    let (size, limit) = (size_of(record)?, context.max_bytes());
    if size <= limit {
        return Ok(());
    }
    let limit = limit.max(size_of(before)?);
    if size > limit { Err(Kind::RecordTooLarge { size, limit }.into()) } else { Ok(()) }
}
