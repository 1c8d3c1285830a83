//! The members of a batch: what each of them changes, and where its request waits.

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
        batch::Failure,
        commit::{CommitOutcome, CookieUpdate, PendingCommit, Persistence, TokenAction},
        fit::fitting,
        turns::{Seat, Ticket},
    },
    record::change::Contents,
};

/// One commit of a batch.
pub(super) struct Member {
    pub(super) pending: Box<PendingCommit>,
    /// Whether the record that the batch starts from has its changes already.
    pub(super) is_applied: bool,
    /// Why its changes cannot be made on the record as it is.
    pub(super) failure: Option<Failure>,
}

/// A commit that the leader has taken along, and where its request waits.
pub(super) struct Follower {
    pub(super) member: Member,
    pub(super) seat: Seat,
}

/// How the limit of a record's size is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SizeCheck {
    /// Once, with all changes made.
    Whole,
    /// After each member's changes, to find out whose do not fit.
    Each,
}

impl Member {
    pub(super) fn new(pending: Box<PendingCommit>) -> Self {
        Self { pending, is_applied: false, failure: None }
    }

    pub(super) fn contents(&self) -> Contents {
        if self.failure.is_some() { Contents::Unchanged } else { self.pending.changes.contents() }
    }

    /// Makes this member's changes on `record`, all of them or none.
    pub(super) fn apply(
        &self,
        record: &mut Arc<Record>,
        check: SizeCheck,
        context: &Context,
    ) -> Result<(), Failure> {
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
            catch_unwind(AssertUnwindSafe(apply)).map_err(Failure::Panic)??;
        }
        if check == SizeCheck::Each {
            let before = if self.is_applied { before } else { &*record };
            fitting(&mut changed, changes, |changed| check_size(changed, before, context))?;
        }
        *record = changed;
        Ok(())
    }

    pub(super) fn ended(&self, empty: &Arc<Record>) -> CommitOutcome {
        let PendingCommit { token, action, changes, key, .. } = &*self.pending;
        // A task without a token looks for the session under its new key.
        if let Some(session) = token.as_ref().map(Token::correlation) {
            match action {
                TokenAction::Rotate(_) => observe::regenerate_dropped(&session, changes.len()),
                TokenAction::Keep | TokenAction::Destroy(_) => {
                    observe::gone(&session, changes.len());
                }
            }
        }
        CommitOutcome {
            persistence: Persistence::Ended,
            key: *key,
            token: token.clone(),
            record: Some(empty.clone()),
            cookie: CookieUpdate::Keep,
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

/// Checks the size of a changed record. One above the limit is accepted if it is no larger than it was
/// `before`, because the limit may be lower than when it was written.
fn check_size(record: &Record, before: &Record, context: &Context) -> Result<(), Error> {
    let size_of = |record: &Record| record.encode(Some(context.apps())).map(|text| text.len());
    let (size, limit) = (size_of(record)?, context.max_bytes());
    if size <= limit {
        return Ok(());
    }
    let limit = limit.max(size_of(before)?);
    if size > limit { Err(Kind::RecordTooLarge { size, limit }.into()) } else { Ok(()) }
}
