//! The members of a batch: what each of them changes, and where its request waits.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::{
    batch::Failure,
    commit::{CommitOutcome, CookieUpdate, PendingCommit, Persistence, TokenAction},
    decide::Contents,
    fit::fitting,
    turns::{Seat, Ticket},
};
use crate::{
    context::Context,
    error::{Error, Kind},
    observe,
    record::Record,
    token::Token,
};

/// One commit of a batch.
pub(super) struct Member {
    pub(super) pending: Box<PendingCommit>,
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
        Self { pending, failure: None }
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
        let changes = &self.pending.changes;
        if changes.is_empty() {
            return Ok(());
        }
        if check == SizeCheck::Whole && !changes.can_fail() {
            return Ok(changes.apply(Arc::make_mut(record))?);
        }
        let mut changed = Record::clone(record);
        catch_unwind(AssertUnwindSafe(|| changes.apply(&mut changed)))
            .map_err(Failure::Panic)??;
        let mut changed = Arc::new(changed);
        if check == SizeCheck::Each {
            fitting(&mut changed, changes, |record| check_size(record, context))?;
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

pub(super) fn check_size(record: &Record, context: &Context) -> Result<(), Error> {
    let (size, limit) = (record.encode(Some(context.apps()))?.len(), context.max_bytes());
    if size > limit { Err(Kind::RecordTooLarge { size, limit }.into()) } else { Ok(()) }
}
