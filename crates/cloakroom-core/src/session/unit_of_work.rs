//! The changes of a request to its session until the commit.

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
        decide::{CookieRule, Step, Worth, decide},
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
    /// An explicit commit failed and there were no changes since. Its caller has the error, so the
    /// final commit does not try the same changes again.
    Refused,
    /// The final commit has begun, and changes are refused.
    Closed,
}

/// Which record an exact change starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RecordSource {
    /// The record in the pending commit.
    Commit,
    /// The record in the store, because the request's copy contains uncommitted changes.
    Store,
}

/// The part of the work that a commit contains.
#[derive(Clone, Debug)]
pub(super) struct Checkpoint {
    changes: usize,
    action: TokenAction,
}

impl Checkpoint {
    /// The checkpoint of a commit that contains none of the request's own changes.
    pub(super) const NOTHING: Self = Self { changes: 0, action: TokenAction::Keep };
}

/// A request's copy of the record, with its changes and its intent for the token.
#[derive(Debug)]
pub(super) struct UnitOfWork {
    persistence: Persistence,
    key: Option<RecordKey>,
    token: Token,
    action: TokenAction,
    record: Arc<Record>,
    log: ChangeLog,
    /// The part of an unstored session that a commit stores even if the record is empty.
    required: Worth,
    seal: Seal,
    /// How many changes of the log a failed commit may have carried out.
    in_doubt: Option<usize>,
    loaded_at: Timestamp,
    phase: Phase,
    /// The record without the changes of the log. It is empty after a `destroy`. A commit writes it if
    /// the changes are discarded but the token or the deadline still changes.
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
            in_doubt: None,
            loaded_at: at,
            phase: Phase::Open,
        }
    }

    /// Makes a change and adds it to the log, for the replay on another request's record.
    pub(super) fn change(&mut self, change: Change) -> Result<(), Error> {
        self.check_open()?;
        change.apply(Arc::make_mut(&mut self.record))?;
        self.log.push(change);
        Ok(())
    }

    /// Adds to a number and returns the sum.
    pub(super) fn increment<N: Number>(&mut self, path: Path<&str>, by: N) -> Result<N, Error> {
        self.check_open()?;
        let values = &mut Arc::make_mut(&mut self.record).values;
        let sum = values.add(path, by.delta(), |sum| number::read(path.text(), sum))?;
        self.log.push(Change::Increment { path: path.to_owned(), by: by.delta() });
        Ok(sum)
    }

    /// Puts the value that a closure has computed, and adds the closure to the log.
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
            // The session may be stored under this token already.
            TokenAction::Rotate(_) if self.in_doubt.is_some() => return Ok(()),
            TokenAction::Keep | TokenAction::Rotate(_) => TokenAction::Rotate(fresh),
            TokenAction::Destroy(_) => TokenAction::Destroy(fresh),
        };
        Ok(())
    }

    /// Ends the session. Later changes belong to a new session, which starts from `empty`.
    pub(super) fn destroy(&mut self, empty: Record) -> Result<(), Error> {
        self.check_open()?;
        self.action = TokenAction::Destroy(self.token.successor());
        self.untouched = Arc::new(empty);
        self.discard_changes();
        Ok(())
    }

    /// Makes the commit store at least this much, even if the session is empty.
    pub(super) fn require(&mut self, worth: Worth) {
        self.required = self.required.max(worth);
    }

    fn check_open(&mut self) -> Result<(), Error> {
        self.refuse_when_closed()?;
        self.phase = Phase::Open;
        Ok(())
    }

    /// Refuses a change after the final commit has begun, or inside of a closure.
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

    /// Returns the token of the request, if it identifies a session. The token of a pre-session shares
    /// only its seed with the cookie.
    pub(super) fn request_token(&self) -> Option<&Token> {
        (self.persistence != Persistence::New).then_some(&self.token)
    }

    /// Returns the token before this request's commit.
    pub(super) fn current_token(&self) -> &Token {
        &self.token
    }

    /// Returns the visitor's token after this request's commit.
    pub(super) fn token_afterwards(&self) -> &Token {
        self.action.new_token().unwrap_or(&self.token)
    }

    pub(super) fn is_destroyed(&self) -> bool {
        matches!(self.action, TokenAction::Destroy(_))
    }

    /// Returns what a commit stores of an unstored session.
    pub(super) fn worth(&self) -> Worth {
        self.required.with(&self.record)
    }

    /// Returns the owner that the changes give to a session without an owner.
    pub(super) fn new_owner(&self) -> Option<Owner> {
        self.log.owner()
    }

    /// Returns the owner without the changes since the last commit.
    pub(super) fn committed_owner(&self) -> Option<&Owner> {
        self.untouched.owner.as_ref()
    }

    /// Returns whether the log has to be committed before an exact change: it comes before the end of
    /// the session, or it may be stored under a token that the visitor does not have yet.
    pub(super) fn commits_log_first(&self) -> bool {
        let has_new_token = self.action != TokenAction::Keep
            || !matches!(self.persistence, Persistence::Stored { .. });
        self.is_destroyed() || (has_new_token && self.in_doubt.is_some())
    }

    /// Returns whether the request has changes, or needs a record of its session.
    pub(super) fn has_changes(&self) -> bool {
        !self.log.is_empty() || self.required == Worth::Record
    }

    /// Returns whether a commit would have nothing to do. Decides by the time at which the session was
    /// loaded, which saves a read of the clock.
    pub(super) fn has_nothing_to_commit(&self, context: &Context) -> bool {
        let wanted = self.uncommitted().wanted(&self.record);
        let deadlines = context.deadlines(&self.record);
        let decision = decide(self.persistence, wanted, deadlines, self.loaded_at);
        decision.step == Step::Nothing
            && decision.cookie == CookieRule::Keep
            && !self.concerns_ended_session()
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
    pub(super) fn pending(&self) -> Box<PendingCommit> {
        Box::new(self.uncommitted())
    }

    fn uncommitted(&self) -> PendingCommit {
        PendingCommit {
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
            in_doubt: self.in_doubt,
            loaded_at: self.loaded_at,
        }
    }

    /// Returns a commit of `change` alone, without the request's other changes, and the source of the
    /// record that it starts from.
    pub(super) fn pending_exact(
        &self,
        change: ExactChange,
        context: &Context,
    ) -> (Box<PendingCommit>, RecordSource) {
        let (record, source) = match self.persistence {
            Persistence::New | Persistence::PreSession { .. } | Persistence::Ended => {
                (context.empty_record().into(), RecordSource::Commit)
            }
            Persistence::Stored { .. } if self.log.is_empty() => {
                (self.record.clone(), RecordSource::Commit)
            }
            Persistence::Stored { .. } => (self.record.clone(), RecordSource::Store),
        };
        let (action, changes) = (TokenAction::Keep, Changes::Exact(change));
        let required = Worth::Nothing;
        let pending = PendingCommit { action, changes, record, required, ..self.uncommitted() };
        (Box::new(pending), source)
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        Checkpoint { changes: self.log.len(), action: self.action.clone() }
    }

    /// Returns the changes since `checkpoint`, and the record to replay them on.
    pub(super) fn rest(
        &self,
        outcome: &CommitOutcome,
        checkpoint: &Checkpoint,
    ) -> (ChangeLog, Arc<Record>) {
        let rest = self.log.since(checkpoint.changes);
        let record = outcome.record.clone().unwrap_or_else(|| self.record.clone());
        (rest, record)
    }

    /// Applies the outcome of a commit. `rest` and `record` come from [`rest`](Self::rest), with the
    /// changes replayed on the record.
    ///
    /// Returns `false`, and applies nothing, if a clone of the session has made further changes since.
    pub(super) fn apply(
        &mut self,
        outcome: &CommitOutcome,
        checkpoint: &Checkpoint,
        rest: &ChangeLog,
        record: &Arc<Record>,
    ) -> bool {
        let action_is_new = self.action != checkpoint.action;
        // A `destroy` since the checkpoint has emptied record and log. Their contents belong to the
        // next session.
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
            self.in_doubt = None;
        }
        if self.phase != Phase::Closed {
            self.phase = Phase::Open;
        }
        true
    }

    /// Remembers that a commit of the work at `checkpoint` may have been carried out although it failed.
    pub(super) fn doubt(&mut self, checkpoint: &Checkpoint) {
        self.in_doubt.get_or_insert(checkpoint.changes);
    }

    /// Remembers that an explicit commit failed and its caller has the error.
    pub(super) fn refuse(&mut self) {
        if self.phase != Phase::Closed {
            self.phase = Phase::Refused;
        }
    }

    /// Closes the session to further changes. Returns `false` if a final commit would only repeat
    /// changes whose explicit commit failed. `destroy` and `regenerate` are always tried again.
    pub(super) fn close(&mut self) -> bool {
        let refused = self.phase == Phase::Refused && self.action == TokenAction::Keep;
        self.phase = Phase::Closed;
        !refused
    }

    /// Discards all changes except `destroy` and `regenerate`.
    pub(super) fn discard_changes(&mut self) {
        self.record = self.untouched.clone();
        self.log = ChangeLog::default();
        self.in_doubt = self.in_doubt.map(|_| 0);
        self.required = Worth::Nothing;
    }
}
