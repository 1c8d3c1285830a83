//! The changes of a request to its session until the commit.

use std::{mem, sync::Arc};

use bytestring::ByteString;

use crate::{
    backend::{
        commit::{Changes, CommitOutcome, CookieUpdate, ExactChange, PendingCommit, TokenAction},
        context::Context,
        decide::{CookieRule, Persistence, Seal, Step, Usage, Wanted, Worth, decide},
        loaded::LoadedSession,
    },
    crypto::token::Token,
    error::{Error, Kind},
    record::{
        Record,
        change::{Change, ChangeLog, Rerun, closure},
        owner::Owner,
    },
    session::reload::Reloaded,
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
    /// The request has ended without some of its changes, and further changes are refused.
    Abandoned,
}

/// The part of the uncommitted work that the end of a request keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    Changes,
    /// `destroy` and `regenerate`, which take effect in any case.
    TokenAction,
    /// `destroy` alone.
    Logout,
}

/// The work that is left at the end of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Final {
    Commit,
    /// No commit takes the changes that are left, or there are none.
    Nothing,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Checkpoint {
    destroys: usize,
    discards: usize,
    changes: usize,
    action: TokenAction,
}

/// A request's copy of the record, with its changes and its intent for the token.
#[derive(Debug)]
pub(super) struct UnitOfWork {
    persistence: Persistence,
    key: Option<RecordKey>,
    token: Token,
    action: TokenAction,
    /// How often the request has called `destroy`.
    destroys: usize,
    /// How often the request has discarded its changes, and how often it had at the last commit.
    discards: usize,
    discards_before: usize,
    /// The owner of the session before it was found ended.
    ended_owner: Option<Owner>,
    record: Arc<Record>,
    log: ChangeLog,
    /// The owner of the session that a `destroy` ends.
    former_owner: Option<Owner>,
    /// The part of an unstored session that a commit stores even if the record is empty.
    required: Worth,
    seal: Seal,
    usage: Usage,
    /// How many changes of the log a failed commit may have carried out.
    in_doubt: Option<usize>,
    loaded_at: Timestamp,
    phase: Phase,
    /// The record without the changes of the log. It is empty after a `destroy`. A commit writes it if
    /// the changes are discarded but the token or the deadline still changes.
    untouched: Arc<Record>,
}

impl UnitOfWork {
    pub(super) fn new(loaded: LoadedSession, usage: Usage) -> Self {
        let LoadedSession { persistence, key, token, record, seal, at, .. } = loaded;
        Self {
            persistence,
            key,
            token,
            action: TokenAction::Keep,
            destroys: 0,
            discards: 0,
            discards_before: 0,
            ended_owner: None,
            former_owner: None,
            untouched: record.clone(),
            record,
            log: ChangeLog::default(),
            required: Worth::Nothing,
            seal,
            usage,
            in_doubt: None,
            loaded_at: at,
            phase: Phase::Open,
        }
    }

    /// Makes a change and adds it to the log, for the replay on another request's record. Does nothing if
    /// the record has the value already, because the write of a cookie could undo another tab's changes.
    pub(super) fn change(&mut self, change: Change) -> Result<(), Error> {
        self.refuse_when_closed()?;
        // A commit may carry out changes that were discarded since, so the copy may be out of date.
        let is_known = self.in_doubt.is_none() && self.discards == self.discards_before;
        if is_known && self.log.makes_needless(&change, &self.record) {
            return Ok(());
        }
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

    /// Ends the session. Later changes belong to a new session, which starts from `empty`. Returns the
    /// changes of the ended one, which the caller drops without a lock.
    pub(super) fn destroy(&mut self, empty: Record) -> Result<ChangeLog, Error> {
        self.check_open()?;
        if !self.is_destroyed() {
            self.former_owner = self.untouched.owner.clone();
        }
        self.action = TokenAction::Destroy(self.token.successor());
        self.destroys += 1;
        self.untouched = Arc::new(empty);
        Ok(self.take_changes())
    }

    /// Makes the commits of this request no use of the session.
    pub(super) fn no_touch(&mut self) -> Result<(), Error> {
        self.refuse_when_closed()?;
        self.usage = Usage::Unused;
        Ok(())
    }

    /// Returns whether a commit of all current changes is a use. A sign-in is a use in any case, because
    /// its visitor is there.
    fn usage(&self) -> Usage {
        if self.log.owner().is_some() { Usage::Used } else { self.usage }
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
        if self.is_closed() { Err(Kind::Committed.into()) } else { Ok(()) }
    }

    /// Refuses a commit after the request has ended without some of its changes.
    pub(super) fn refuse_when_abandoned(&self) -> Result<(), Error> {
        if self.phase == Phase::Abandoned { Err(Kind::Committed.into()) } else { Ok(()) }
    }

    fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed | Phase::Abandoned)
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

    /// Returns the owner of the session that the last `destroy` ends.
    pub(super) fn former_owner(&self) -> Option<&Owner> {
        self.former_owner.as_ref()
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

    pub(super) fn is_modified(&self) -> bool {
        !self.log.is_empty() || self.action != TokenAction::Keep
    }

    /// Returns whether a commit would have nothing to do. Decides by the time at which the session was
    /// loaded, which saves a read of the clock.
    fn has_nothing_to_commit(&self, context: &Context) -> bool {
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
    pub(super) fn pending(&self) -> Box<PendingCommit> {
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
    pub(super) fn pending_exact(
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
    pub(super) fn checkpoint(&self) -> Checkpoint {
        let Self { destroys, discards, .. } = *self;
        Checkpoint { destroys, discards, changes: self.log.len(), action: self.action.clone() }
    }

    /// Returns the checkpoint of a commit that contains none of the request's own changes.
    pub(super) fn checkpoint_of_nothing(&self) -> Checkpoint {
        let destroys = self.destroys - usize::from(self.is_destroyed());
        Checkpoint { destroys, discards: self.discards, changes: 0, action: TokenAction::Keep }
    }

    /// Returns whether the commit of the work at `checkpoint` has ended a session that the visitor had. A
    /// logout that finds no session leaves the cookie alone.
    pub(super) fn is_ended_by(&self, outcome: &CommitOutcome, checkpoint: &Checkpoint) -> bool {
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
    pub(super) fn since(&self, checkpoint: &Checkpoint) -> ChangeLog {
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
    pub(super) fn apply(
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
    pub(super) fn doubt(&mut self, checkpoint: &Checkpoint) {
        let changes = if self.discards == checkpoint.discards { checkpoint.changes } else { 0 };
        self.in_doubt.get_or_insert(changes);
    }

    /// Remembers that an explicit commit of the work at `checkpoint` failed and its caller has the
    /// error. If a clone of the session has made changes since, the final commit takes all of them.
    pub(super) fn refuse(&mut self, checkpoint: &Checkpoint) {
        if self.phase == Phase::Open && self.checkpoint() == *checkpoint {
            self.phase = Phase::Refused;
        }
    }

    /// Closes a session that was loaded too late for changes.
    pub(super) fn close_late(&mut self) {
        self.phase = Phase::Closed;
    }

    /// Closes the session to further changes at the end of the request. Returns what is left to do, and
    /// the changes that no commit takes, which the caller drops without a lock.
    ///
    /// A final commit would only repeat changes whose explicit commit failed, so they are discarded.
    /// `destroy` and `regenerate` are always tried again.
    pub(super) fn close(&mut self, kept: Kept, context: &Context) -> (Final, ChangeLog) {
        if self.is_closed() {
            return (Final::Nothing, ChangeLog::default());
        }
        if kept == Kept::Logout && !self.is_destroyed() {
            self.action = TokenAction::Keep;
        }
        let is_abandoned = kept != Kept::Changes && self.has_changes();
        let is_refused = self.phase == Phase::Refused && self.action == TokenAction::Keep;
        self.phase = if is_abandoned { Phase::Abandoned } else { Phase::Closed };
        let mut discarded = ChangeLog::default();
        if kept != Kept::Changes {
            discarded = self.take_changes();
        }
        if !is_refused && !self.has_nothing_to_commit(context) {
            return (Final::Commit, discarded);
        }
        if kept == Kept::Changes {
            discarded = self.take_changes();
        }
        (Final::Nothing, discarded)
    }

    /// Returns whether the changes run closures of the application, and no commit has begun to take
    /// them. A closure that holds the session keeps it in memory until then.
    pub(super) fn holds_closures(&self) -> bool {
        !self.is_closed() && self.log.has_closures()
    }

    /// Returns the keys under which the session's record is read again, in order. Returns none for a session
    /// without a record, and after a `destroy`.
    pub(super) fn keys_to_reload(&self) -> Vec<RecordKey> {
        let (Persistence::Stored { .. }, Some(key)) = (self.persistence, self.key) else {
            return Vec::new();
        };
        if self.is_destroyed() {
            return Vec::new();
        }
        let next = self.token_afterwards().record_key();
        let may_have_moved = self.in_doubt.is_some() && next != key;
        [key].into_iter().chain(may_have_moved.then_some(next)).collect()
    }

    /// Starts from the record that was found at the time `now`. Returns the discarded changes, which the
    /// caller drops without a lock.
    pub(super) fn reload(&mut self, found: Reloaded, now: Timestamp) -> ChangeLog {
        let (key, persistence, record) = found;
        // A record that a failed commit has moved is found again by the next commit, which sets its cookie.
        if self.key == Some(key) {
            (self.persistence, self.loaded_at) = (persistence, now);
        }
        if persistence == Persistence::Ended {
            self.keep_ended_owner();
        }
        self.phase = Phase::Open;
        self.untouched = record;
        let discarded = self.discard_changes();
        // No commit is under way, and the copy is that of the store.
        self.discards_before = self.discards;
        discarded
    }

    /// Keeps the owner of a session that was found ended. Another sign-in of theirs in this request does not
    /// undo the logout.
    fn keep_ended_owner(&mut self) {
        if let Some(owner) = &self.untouched.owner {
            self.ended_owner = Some(owner.clone());
        }
    }

    /// Discards all changes except `destroy` and `regenerate`. A commit that is under way still makes those that
    /// it has begun with. Returns the changes, and the caller drops them without a lock, because their closures
    /// may own anything.
    #[must_use]
    pub(super) fn discard_changes(&mut self) -> ChangeLog {
        let required = self.required;
        let discarded = self.take_changes();
        // A token that the request has shown stays valid.
        self.required = required;
        self.discards += 1;
        discarded
    }

    #[must_use]
    fn take_changes(&mut self) -> ChangeLog {
        self.record = self.untouched.clone();
        self.in_doubt = self.in_doubt.map(|_| 0);
        self.required = Worth::Nothing;
        mem::take(&mut self.log)
    }
}
