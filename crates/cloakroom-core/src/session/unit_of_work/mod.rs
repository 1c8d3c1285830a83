//! The changes of a request to its session until the commit.

mod commit;
mod discard;

use std::sync::Arc;

use bytestring::ByteString;

use crate::{
    backend::{
        commit::TokenAction,
        context::Context,
        decide::{Persistence, Seal, Usage, Worth},
        loaded::LoadedSession,
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

pub(super) use commit::{Checkpoint, RecordSource};

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
}
