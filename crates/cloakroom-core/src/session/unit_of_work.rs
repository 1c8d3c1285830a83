//! What a request does to its session until the commit.

use std::sync::Arc;

use bytestring::ByteString;

use crate::{
    backend::{
        LoadedSession,
        commit::{
            Changes, CommitOutcome, ExactChange, PendingCommit, Persistence, Seal, TokenAction,
            Usage,
        },
        context::Context,
        decide::{CookieRule, Step, Wanted, Worth, decide},
    },
    crypto::token::Token,
    error::{Error, Kind},
    record::{
        Record,
        change::{Change, ChangeLog, Rerun, closure},
        owner::Owner,
    },
    values::{
        Path,
        number::{self, Number},
    },
};
use cloakroom_store::{RecordKey, clock::Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Changes go into the log.
    Open,
    /// An explicit commit failed and nothing was changed since. Its caller has the error, so the
    /// request's end does not try the same changes again.
    Refused,
    /// The final commit has begun: a change comes too late.
    Closed,
}

/// Where the record is that an exact change starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    AtHand,
    ToBeLoaded,
}

/// How much of the work a commit took along.
#[derive(Clone, Debug)]
pub(super) struct Checkpoint {
    changes: usize,
    action: TokenAction,
}

impl Checkpoint {
    /// Of a commit that takes none of the request's own work along.
    pub(super) const NOTHING: Self = Self { changes: 0, action: TokenAction::Keep };
}

/// A request's copy of the record, and what it wants to become of it.
#[derive(Debug)]
pub(super) struct UnitOfWork {
    persistence: Persistence,
    key: Option<RecordKey>,
    token: Token,
    action: TokenAction,
    record: Arc<Record>,
    log: ChangeLog,
    /// What the request needs of a session that is stored nowhere, whatever is in it.
    required: Worth,
    seal: Seal,
    loaded_at: Timestamp,
    phase: Phase,
    /// The record without the changes of the log, which after a `destroy` is empty: what stays when
    /// the changes are discarded and the session gets a new token or deadline all the same.
    untouched: Arc<Record>,
}

impl UnitOfWork {
    pub(super) fn new(loaded: LoadedSession) -> Self {
        let LoadedSession { persistence, key, token, record, seal, at } = loaded;
        Self {
            persistence,
            key,
            token,
            action: TokenAction::Keep,
            untouched: record.clone(),
            record,
            log: ChangeLog::default(),
            required: Worth::Nothing,
            seal,
            loaded_at: at,
            phase: Phase::Open,
        }
    }

    /// Makes a change, and logs it for the replay on another request's record.
    pub(super) fn change(&mut self, change: Change) -> Result<(), Error> {
        self.check_open()?;
        change.apply(Arc::make_mut(&mut self.record))?;
        self.log.push(change);
        Ok(())
    }

    /// Adds to a number, and returns the sum.
    pub(super) fn increment<N: Number>(&mut self, path: Path<&str>, by: N) -> Result<N, Error> {
        self.check_open()?;
        let values = &mut Arc::make_mut(&mut self.record).values;
        let sum = values.add(path, by.delta(), |sum| number::read(path.text(), sum))?;
        self.log.push(Change::Increment { path: path.to_owned(), by: by.delta() });
        Ok(sum)
    }

    /// Puts the value that a closure has made, and logs the closure.
    pub(super) fn update(
        &mut self,
        path: Path,
        rerun: Rerun,
        value: ByteString,
    ) -> Result<(), Error> {
        self.check_open()?;
        Arc::make_mut(&mut self.record).values.put(path.borrow(), value)?;
        self.log.push(Change::Update { path, rerun });
        Ok(())
    }

    pub(super) fn regenerate(&mut self) -> Result<(), Error> {
        self.check_open()?;
        let fresh = self.token.successor();
        self.action = match self.action {
            TokenAction::Keep | TokenAction::Rotate(_) => TokenAction::Rotate(fresh),
            TokenAction::Destroy(_) => TokenAction::Destroy(fresh),
        };
        Ok(())
    }

    /// Ends the session. Later changes belong to another one, which starts from `empty`.
    pub(super) fn destroy(&mut self, empty: Record) -> Result<(), Error> {
        self.check_open()?;
        self.action = TokenAction::Destroy(self.token.successor());
        self.untouched = Arc::new(empty);
        self.discard_changes();
        Ok(())
    }

    /// Has the session leave this much behind even if it stays empty.
    pub(super) fn require(&mut self, worth: Worth) {
        self.required = self.required.max(worth);
    }

    fn check_open(&mut self) -> Result<(), Error> {
        self.refuse_when_closed()?;
        self.phase = Phase::Open;
        Ok(())
    }

    /// Fails where a change comes too late, or in the middle of another.
    pub(super) fn refuse_when_closed(&self) -> Result<(), Error> {
        closure::refuse_change()?;
        if self.phase == Phase::Closed { Err(Kind::Committed.into()) } else { Ok(()) }
    }

    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    pub(super) fn persistence(&self) -> Persistence {
        self.persistence
    }

    /// Returns the key of the stored record.
    pub(super) fn key(&self) -> Option<RecordKey> {
        self.key
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// Returns the token that came with the request, if it named a session. Of a pre-session only the
    /// token's seed came.
    pub(super) fn request_token(&self) -> Option<&Token> {
        (self.persistence != Persistence::New).then_some(&self.token)
    }

    /// Returns the token that the session had before this request's commit.
    pub(super) fn current_token(&self) -> &Token {
        &self.token
    }

    /// Returns the token that the visitor has after this request's commit.
    pub(super) fn token_afterwards(&self) -> &Token {
        self.action.new_token().unwrap_or(&self.token)
    }

    pub(super) fn is_destroyed(&self) -> bool {
        matches!(self.action, TokenAction::Destroy(_))
    }

    /// Returns what a commit leaves behind of a session that is stored nowhere yet.
    pub(super) fn worth(&self) -> Worth {
        self.required.with(&self.record)
    }

    /// Returns the owner that a commit gives the session, if it had none or another one.
    pub(super) fn new_owner(&self) -> Option<Owner> {
        let owner = self.record.owner.as_ref().filter(|_| self.log.sets_owner())?;
        let had = self.untouched.owner.as_ref();
        had.is_none_or(|had| had.name != owner.name).then(|| owner.clone())
    }

    /// Returns whether there is something that a commit would keep of this request.
    pub(super) fn has_changes(&self) -> bool {
        !self.log.is_empty() || self.required == Worth::Record
    }

    /// Returns whether a commit would have nothing to do, by the time when the session was loaded.
    pub(super) fn has_nothing_to_commit(&self, context: &Context) -> bool {
        let wanted = Wanted {
            action: self.action.kind(),
            contents: self.log.contents(),
            worth: self.worth(),
            sets_owner: self.log.sets_owner(),
            usage: Usage::Used,
            seal: self.seal,
        };
        let deadlines = context.deadlines(&self.record);
        let decision = decide(self.persistence, wanted, deadlines, self.loaded_at);
        decision.step == Step::Nothing
            && decision.cookie == CookieRule::Keep
            && !self.concerns_ended_session()
    }

    /// Returns whether the session has ended and this request wanted something of it, which the
    /// commit reports, or for the logout of one that was moved, looks for.
    fn concerns_ended_session(&self) -> bool {
        let wants = !self.log.is_empty() || self.action != TokenAction::Keep;
        match self.persistence {
            Persistence::Ended => wants,
            Persistence::New => self.key.is_some() && self.is_destroyed(),
            Persistence::PreSession { .. } | Persistence::Stored { .. } => false,
        }
    }

    /// Returns what a commit has to do now. It stays here until [`apply`](Self::apply), so that a
    /// commit that fails loses nothing.
    pub(super) fn pending(&self) -> Box<PendingCommit> {
        Box::new(PendingCommit {
            persistence: self.persistence,
            key: self.key,
            token: Some(self.token.clone()),
            action: self.action.clone(),
            changes: Changes::Log(self.log.clone()),
            record: self.record.clone(),
            before: self.untouched.clone(),
            required: self.required,
            seal: self.seal,
            usage: Usage::Used,
            loaded_at: self.loaded_at,
        })
    }

    /// Returns a commit of `change` alone, and whether the record that it starts from, which has
    /// none of this request's own changes, has to be loaded.
    pub(super) fn pending_exact(
        &self,
        change: ExactChange,
        context: &Context,
    ) -> (Box<PendingCommit>, Base) {
        let (record, base) = match self.persistence {
            Persistence::New | Persistence::PreSession { .. } | Persistence::Ended => {
                (context.empty_record().into(), Base::AtHand)
            }
            Persistence::Stored { .. } if self.log.is_empty() => {
                (self.record.clone(), Base::AtHand)
            }
            Persistence::Stored { .. } => (self.record.clone(), Base::ToBeLoaded),
        };
        let (action, changes) = (TokenAction::Keep, Changes::Exact(change));
        let pending =
            PendingCommit { action, changes, record, required: Worth::Nothing, ..*self.pending() };
        (Box::new(pending), base)
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { changes: self.log.len(), action: self.action.clone() }
    }

    /// Returns the changes that were made since `checkpoint`, and the record that they come on.
    pub(super) fn rest(
        &self,
        outcome: &CommitOutcome,
        checkpoint: &Checkpoint,
    ) -> (ChangeLog, Arc<Record>) {
        let rest = self.log.since(checkpoint.changes);
        let record = outcome.record.clone().unwrap_or_else(|| self.record.clone());
        (rest, record)
    }

    /// Takes over the outcome of a commit. `rest` and `record` are what [`rest`](Self::rest)
    /// returned, with the changes made on the record.
    ///
    /// Returns `false` if there are further changes by now, made by a clone of the session.
    pub(super) fn apply(
        &mut self,
        outcome: &CommitOutcome,
        checkpoint: &Checkpoint,
        rest: &ChangeLog,
        record: &Arc<Record>,
    ) -> bool {
        let action_is_new = self.action != checkpoint.action;
        // A `destroy` in the meantime has emptied record and log: what it left belongs to the next
        // session.
        if !(action_is_new && self.is_destroyed()) {
            if self.log.len().saturating_sub(checkpoint.changes) != rest.len() {
                return false;
            }
            self.log = rest.clone();
            self.record = record.clone();
            self.untouched = outcome.record.as_ref().unwrap_or(record).clone();
        }
        if !action_is_new {
            self.action = TokenAction::Keep;
        }
        self.persistence = outcome.persistence;
        self.key = outcome.key;
        if let Some(token) = &outcome.token {
            self.token = token.clone();
        }
        self.seal = Seal::Current;
        if matches!(outcome.persistence, Persistence::Stored { .. } | Persistence::Ended) {
            self.required = Worth::Nothing;
        }
        if self.phase != Phase::Closed {
            self.phase = Phase::Open;
        }
        true
    }

    /// Notes that the caller of an explicit commit has its error.
    pub(super) fn refuse(&mut self) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Refused;
        }
    }

    /// Closes the session to further changes. Returns whether a final commit should be attempted:
    /// not if its changes were refused before. `destroy` and `regenerate` are tried again.
    pub(super) fn close(&mut self) -> bool {
        let refused = self.phase == Phase::Refused && self.action == TokenAction::Keep;
        self.phase = Phase::Closed;
        !refused
    }

    /// Forgets the ordinary changes. `destroy` and `regenerate` stay.
    pub(super) fn discard_changes(&mut self) {
        self.record = self.untouched.clone();
        self.log = ChangeLog::default();
        self.required = Worth::Nothing;
    }
}
