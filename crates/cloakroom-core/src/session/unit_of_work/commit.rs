//! What a commit takes from the work of a request, and what it leaves there.

use std::{mem, sync::Arc};

use super::{Phase, UnitOfWork};
use crate::{
    backend::{
        commit::{Changes, CommitOutcome, CookieUpdate, ExactChange, PendingCommit, TokenAction},
        context::Context,
        decide::{CookieRule, Persistence, Seal, Step, Wanted, Worth, decide},
    },
    record::{Record, change::ChangeLog},
};

/// Which record an exact change starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::session) enum RecordSource {
    /// The record in the pending commit.
    Commit,
    /// The record in the store, because the request's copy contains uncommitted changes.
    Store,
}

/// The part of the work that a commit contains.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::session) struct Checkpoint {
    destroys: usize,
    discards: usize,
    changes: usize,
    action: TokenAction,
}

impl UnitOfWork {
    /// Returns whether a commit would have nothing to do. Decides by the time at which the session was
    /// loaded, which saves a read of the clock.
    pub(super) fn has_nothing_to_commit(&self, context: &Context) -> bool {
        if matches!(self.persistence, Persistence::Stored { .. }) && !self.log.is_empty() {
            return false;
        }
        let deadlines = context.deadlines(&self.record);
        let decision = decide(self.persistence, self.wanted(), deadlines, self.loaded_at);
        decision.step == Step::Nothing
            && decision.cookie == CookieRule::Keep
            && !self.concerns_ended_session()
    }

    /// Summarizes a commit of all current changes for the decision.
    fn wanted(&self) -> Wanted {
        let had = self.untouched.owner.as_ref();
        Wanted {
            action: self.action.kind(),
            contents: self.log.contents(),
            worth: self.worth(),
            signs_in: self.log.owner().is_some_and(|owner| {
                owner.is_other_than(had) && owner.is_other_than(self.ended_owner.as_ref())
            }),
            usage: self.usage(),
            seal: self.seal,
        }
    }

    /// Returns whether the commit has to handle a session that has ended. It reports dropped changes,
    /// and a logout looks for the key that the session has moved to.
    fn concerns_ended_session(&self) -> bool {
        let has_intent = !self.log.is_empty() || self.action != TokenAction::Keep;
        match self.persistence {
            Persistence::Ended => has_intent,
            Persistence::New => self.key.is_some() && self.is_destroyed(),
            Persistence::PreSession { .. } | Persistence::Stored { .. } => false,
        }
    }

    /// Returns a commit of all current changes. The changes stay in the log until
    /// [`apply`](Self::apply), so that a failed commit loses nothing.
    pub(in crate::session) fn pending(&self) -> Box<PendingCommit> {
        Box::new(PendingCommit {
            persistence: self.persistence,
            key: self.key,
            token: Some(self.token.clone()),
            action: self.action.clone(),
            changes: Changes::Log(self.log.clone()),
            record: self.record.clone(),
            before: self.untouched.clone(),
            ended_owner: self.ended_owner.clone(),
            required: self.required,
            seal: self.seal,
            usage: self.usage(),
            in_doubt: self.in_doubt,
            loaded_at: self.loaded_at,
        })
    }

    /// Returns a commit of `change` alone, without the request's other changes, and the source of the
    /// record that it starts from. An unstored session starts from `empty`.
    pub(in crate::session) fn pending_exact(
        &self,
        change: ExactChange,
        empty: Record,
    ) -> (Box<PendingCommit>, RecordSource) {
        let (record, source) = match self.persistence {
            Persistence::New | Persistence::PreSession { .. } | Persistence::Ended => {
                (empty.into(), RecordSource::Commit)
            }
            Persistence::Stored { .. } if self.log.is_empty() => {
                (self.record.clone(), RecordSource::Commit)
            }
            Persistence::Stored { .. } => (self.record.clone(), RecordSource::Store),
        };
        let (action, changes) = (TokenAction::Keep, Changes::Exact(change));
        let required = Worth::Nothing;
        let pending = PendingCommit { action, changes, record, required, ..*self.pending() };
        (Box::new(pending), source)
    }

    /// Returns the checkpoint of a commit of all current changes.
    pub(in crate::session) fn checkpoint(&self) -> Checkpoint {
        let Self { destroys, discards, .. } = *self;
        Checkpoint { destroys, discards, changes: self.log.len(), action: self.action.clone() }
    }

    /// Returns the checkpoint of a commit that contains none of the request's own changes.
    pub(in crate::session) fn checkpoint_of_nothing(&self) -> Checkpoint {
        let destroys = self.destroys - usize::from(self.is_destroyed());
        Checkpoint { destroys, discards: self.discards, changes: 0, action: TokenAction::Keep }
    }

    /// Returns whether the commit of the work at `checkpoint` has ended a session that the visitor had. A
    /// logout that finds no session leaves the cookie alone.
    pub(in crate::session) fn is_ended_by(
        &self,
        outcome: &CommitOutcome,
        checkpoint: &Checkpoint,
    ) -> bool {
        let had_session = match self.persistence {
            Persistence::Stored { .. } | Persistence::Ended => true,
            Persistence::New => self.key.is_some(),
            Persistence::PreSession { .. } => false,
        };
        had_session
            && matches!(checkpoint.action, TokenAction::Destroy(_))
            && outcome.cookie != CookieUpdate::Keep
    }

    /// Returns the changes since `checkpoint`.
    pub(in crate::session) fn since(&self, checkpoint: &Checkpoint) -> ChangeLog {
        if self.discards == checkpoint.discards {
            self.log.since(checkpoint.changes)
        } else {
            self.log.clone()
        }
    }

    /// Applies the outcome of a commit. `rest` are the changes [since](Self::since) the checkpoint, and
    /// `record` is the stored record with them. Returns changes that are no longer needed, which the
    /// caller drops without a lock.
    ///
    /// Returns `None`, and applies nothing, if a clone of the session has made further changes since.
    pub(in crate::session) fn apply(
        &mut self,
        outcome: &CommitOutcome,
        checkpoint: &Checkpoint,
        rest: &ChangeLog,
        record: &Arc<Record>,
    ) -> Option<ChangeLog> {
        let mut done = ChangeLog::default();
        // After a `destroy` since the checkpoint, log and record are those of the next session.
        if self.destroys == checkpoint.destroys {
            if self.since(checkpoint).len() != rest.len() {
                return None;
            }
            done = mem::replace(&mut self.log, rest.clone());
            self.record = record.clone();
            if outcome.persistence == Persistence::Ended {
                self.keep_ended_owner();
            }
            self.untouched = outcome.record.clone();
            self.discards_before = self.discards;
            self.action = match mem::replace(&mut self.action, TokenAction::Keep) {
                action if action == checkpoint.action => TokenAction::Keep,
                TokenAction::Keep => TokenAction::Keep,
                // By a `regenerate` since the checkpoint. The `destroy` before it is committed.
                TokenAction::Rotate(next) | TokenAction::Destroy(next) => TokenAction::Rotate(next),
            };
        }
        self.persistence = outcome.persistence;
        self.key = outcome.key;
        if let Some(token) = &outcome.token {
            self.token = token.clone();
        }
        self.seal = Seal::Current;
        if matches!(outcome.persistence, Persistence::Stored { .. } | Persistence::Ended) {
            self.required = Worth::Nothing;
            // A commit that had nothing to do has not asked the store what it did before.
            let has_asked = outcome.step != Step::Nothing || outcome.cookie != CookieUpdate::Keep;
            if has_asked || outcome.persistence == Persistence::Ended {
                self.in_doubt = None;
            }
        }
        if !self.is_closed() {
            self.phase = Phase::Open;
        }
        Some(done)
    }

    /// Remembers that a commit of the work at `checkpoint` may have been carried out although it failed.
    pub(in crate::session) fn doubt(&mut self, checkpoint: &Checkpoint) {
        let changes = if self.discards == checkpoint.discards { checkpoint.changes } else { 0 };
        self.in_doubt.get_or_insert(changes);
    }

    /// Remembers that an explicit commit of the work at `checkpoint` failed and its caller has the
    /// error. If a clone of the session has made changes since, the final commit takes all of them.
    pub(in crate::session) fn refuse(&mut self, checkpoint: &Checkpoint) {
        if self.phase == Phase::Open && self.checkpoint() == *checkpoint {
            self.phase = Phase::Refused;
        }
    }
}
