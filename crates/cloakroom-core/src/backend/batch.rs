//! Commits that are made as one: the leader's own, and those of requests that waited for it.

use std::{any::Any, mem, sync::Arc};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    backend::context::Context,
    crypto::token::Token,
    error::{Error, Kind},
    record::{Record, lifetimes::SUCCESSOR, owner::Owner},
};
use crate::{
    backend::{
        commit::{
            Changes, CommitOutcome, CookieUpdate, PendingCommit, Persistence, TokenAction, Usage,
        },
        decide::{Accepts, CookieRule, Deadlines, Decision, Step, Wanted, decide},
        member::{Follower, Member, SizeCheck},
        read_live,
        turns::{Lead, Newest, Ticket},
    },
    record::change::Contents,
};
use cloakroom_store::{
    Commit, Draft, Revision, StoreError, StoredRecord, TOMBSTONE, clock::Timestamp,
};

/// Why one commit of a batch failed.
pub(super) enum Failure {
    Error(Error),
    /// A closure of its request panicked.
    Panic(Box<dyn Any + Send>),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<Kind> for Failure {
    fn from(kind: Kind) -> Self {
        Self::Error(kind.into())
    }
}

/// What each commit of a batch gets.
pub(super) type Finished = Result<CommitOutcome, Failure>;

/// Commits of one record, in the order in which they take effect.
pub(super) struct Batch {
    /// Invariant: while the base has its changes already, there are no others, because a failure
    /// could not be kept apart from theirs.
    own: Member,
    others: Vec<Follower>,
    base: Base,
    /// Why the changes that follow the leader's logout were dropped.
    refused: Option<Error>,
}

/// What the changes are made on.
struct Base {
    persistence: Persistence,
    record: Arc<Record>,
    /// Whether the record came from the store or the leader before, rather than from the leader's
    /// request, which read it some time ago.
    is_newest: bool,
    /// Whether the session was ended under another key, so that the cookie has to go.
    removes_cookie: bool,
}

/// A batch that is ready to be sent.
pub(super) struct Prepared {
    record: Arc<Record>,
    /// The encoded record, where the step writes one.
    bytes: Bytes,
    deadlines: Deadlines,
    pub(super) decision: Decision,
    now: Timestamp,
}

impl Batch {
    /// A batch of one commit, on the record that its request loaded.
    pub(super) fn new(pending: Box<PendingCommit>) -> Self {
        let base = Base {
            persistence: pending.persistence,
            record: pending.record.clone(),
            is_newest: false,
            removes_cookie: false,
        };
        let is_applied = matches!(&pending.changes, Changes::Log(log) if !log.is_empty());
        let own = Member { is_applied, ..Member::new(pending) };
        Self { own, others: Vec::new(), base, refused: None }
    }

    /// A batch of one commit, on what the leader before it has made of the record.
    pub(super) fn on(newest: Newest, pending: Box<PendingCommit>, context: &Context) -> Self {
        let mut batch = Self::new(pending);
        match newest {
            Newest::Unknown => (),
            Newest::Stored { persistence, record } => batch.set_base(persistence, record),
            Newest::Ended => batch.end(context),
        }
        batch
    }

    fn set_base(&mut self, persistence: Persistence, record: Arc<Record>) {
        self.base.persistence = persistence;
        // The record of a session that is destroyed goes, whatever is in it. What the request holds
        // belongs to the session after it.
        if !self.own.pending.is_logout() {
            self.base.record = record;
            self.base.is_newest = true;
            self.own.is_applied = false;
        }
    }

    /// Continues on the record that another process has written.
    pub(super) fn rebase(&mut self, stored: &StoredRecord, context: &Context) {
        match read_live(stored, context.now(), context) {
            Some(record) => self.set_base(stored.into(), Arc::new(record)),
            None => self.end(context),
        }
    }

    /// Continues without a record, because the session has ended.
    pub(super) fn end(&mut self, context: &Context) {
        self.set_base(Persistence::Ended, Arc::new(context.empty_record()));
    }

    /// Continues as a new session, after the logout of the one before has succeeded.
    pub(super) fn start_over(&mut self) {
        self.base.persistence = Persistence::New;
        self.base.removes_cookie = true;
    }

    /// Draws a new token. The key of the last one is taken, which its random bits rule out but a
    /// faulty store does not. The tag stays, because handles name the session by it, and the seed, so
    /// that CSRF tokens that the page shows stay valid.
    pub(super) fn draw_new_token(&mut self) {
        let PendingCommit { token, action, .. } = &mut *self.own.pending;
        match action {
            TokenAction::Keep => *token = token.as_ref().map(Token::redrawn),
            TokenAction::Rotate(next) | TokenAction::Destroy(next) => *next = next.redrawn(),
        }
    }

    /// Takes along the commits that wait. Returns the latest deadline of their requests.
    pub(super) fn take_along(&mut self, lead: &Lead) -> Option<Instant> {
        if self.own.is_applied || !self.own.pending.can_be_merged() {
            return None;
        }
        let taken = lead.take_waiting(1 + self.others.len());
        let latest = taken.iter().map(|ticket| ticket.seat.deadline).max();
        self.others.extend(taken.into_iter().map(Follower::from));
        latest
    }

    /// Returns the leader's own commit.
    pub(super) fn own(&self) -> &PendingCommit {
        &self.own.pending
    }

    /// Returns whether the session has ended and the leader wants nothing that outlives it. The
    /// changes are not made then: their closures would run on a record that was never theirs.
    pub(super) fn drops_changes(&self, context: &Context) -> bool {
        let Base { persistence: persistence @ Persistence::Ended, record, .. } = &self.base else {
            return false;
        };
        let deadlines = context.deadlines(record);
        let decision = decide(*persistence, self.wanted(record), deadlines, context.now());
        decision.step == Step::Nothing
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.own).chain(self.others.iter().map(|follower| &follower.member))
    }

    /// Makes all changes on the base and decides what is to be done. A logout is carried out even if
    /// the changes that follow it cannot be made: these are dropped.
    ///
    /// The record may still be larger than `max_bytes` after the second merge, which accepts a member's
    /// changes above the limit if the record is no larger than it was before them (`before` in
    /// [`Member::apply`]).
    ///
    /// # Errors
    /// When the leader's own changes cannot be made, and there are neither others nor a logout.
    pub(super) fn prepare(&mut self, context: &Context) -> Result<Prepared, Failure> {
        let mut prepared = self.merge(SizeCheck::Whole, context)?;
        if prepared.bytes.len() > context.max_bytes() {
            prepared = self.merge(SizeCheck::Each, context)?;
        }
        if !self.others.is_empty() {
            return Ok(prepared);
        }
        match self.own.failure.take() {
            None => Ok(prepared),
            Some(Failure::Error(error)) if self.own.pending.is_logout() => {
                self.refused = Some(error);
                self.own.pending.drop_changes(context);
                self.base.record = self.own.pending.record.clone();
                self.merge(SizeCheck::Whole, context)
            }
            Some(failure) => Err(failure),
        }
    }

    fn merge(&mut self, check: SizeCheck, context: &Context) -> Result<Prepared, Failure> {
        let now = context.now();
        let mut record = self.base.record.clone();
        let others = self.others.iter_mut().map(|follower| &mut follower.member);
        for member in std::iter::once(&mut self.own).chain(others) {
            member.failure = member.apply(&mut record, check, context).err();
        }
        let deadlines = context.deadlines(&record);
        let mut decision = decide(self.base.persistence, self.wanted(&record), deadlines, now);
        if self.base.removes_cookie && decision.cookie == CookieRule::Keep {
            decision.cookie = CookieRule::Remove;
        }
        let writes = decision.step.writes_record();
        let bytes =
            if writes { Bytes::from(record.encode(Some(context.apps()))?) } else { Bytes::new() };
        Ok(Prepared { record, bytes, deadlines, decision, now })
    }

    /// Returns what the members want together.
    fn wanted(&self, record: &Record) -> Wanted {
        let is_used = self.members().any(|member| member.pending.usage == Usage::Used);
        Wanted {
            contents: self.members().map(Member::contents).max().unwrap_or(Contents::Unchanged),
            usage: if is_used { Usage::Used } else { Usage::Unused },
            ..self.own.pending.wanted(record)
        }
    }

    /// Returns what the store has to do, if anything. It takes the written record out of `prepared`: a
    /// second owner of the bytes would cost an allocation.
    pub(super) fn commit(&self, prepared: &mut Prepared, context: &Context) -> Option<Commit> {
        let Prepared { record, bytes, decision, now, .. } = prepared;
        let own = &self.own.pending;
        let mut draft = |expires| {
            Draft::new(mem::take(bytes), *now, context.lifetimes().idle(record))
                .with_expires(expires)
                .with_owner(record.owner.as_ref().map(Owner::key))
        };
        let new_key = || own.token_afterwards().map(Token::record_key);
        if let Step::Create { expires } = decision.step {
            return Some(Commit::create(new_key()?, draft(expires)));
        }
        let (key, Persistence::Stored { revision, .. }) = (own.key?, self.base.persistence) else {
            return None;
        };
        match decision.step {
            Step::Nothing | Step::DestroySuccessor | Step::Create { .. } => None,
            Step::Replace { expires } => Some(Commit::replace(key, revision, draft(expires))),
            Step::Touch { expires } => Some(Commit::touch(key, revision, expires)),
            Step::Rotate { expires, accepts } => Some(Commit::rotate(
                key,
                (accepts == Accepts::Expected).then_some(revision),
                new_key()?,
                draft(expires),
                match accepts {
                    Accepts::Expected => *now + SUCCESSOR,
                    Accepts::Any => *now + TOMBSTONE,
                },
            )),
            Step::Destroy => Some(Commit::destroy(key, *now + TOMBSTONE)),
        }
    }

    /// Replies to all members. `revision` is the store's answer to the step, where there was one.
    /// Returns what the next leader has to know, and the leader's own outcome.
    pub(super) fn finish(
        &mut self,
        prepared: &Prepared,
        revision: Option<Revision>,
        context: &Context,
    ) -> (Newest, Finished) {
        let Prepared { record, decision, .. } = prepared;
        let own = &self.own.pending;
        let token = own.token_afterwards();
        let unstored = match decision.cookie {
            CookieRule::SetPreSession { expires } => Persistence::PreSession { expires },
            _ => Persistence::New,
        };
        let (persistence, key) = match (decision.step, revision) {
            (Step::Create { expires } | Step::Rotate { expires, .. }, Some(revision)) => {
                (Persistence::Stored { revision, expires }, token.map(Token::record_key))
            }
            (Step::Replace { expires } | Step::Touch { expires }, Some(revision)) => {
                (Persistence::Stored { revision, expires }, own.key)
            }
            (Step::Destroy, Some(_)) => (unstored, None),
            _ if self.base.removes_cookie || unstored != Persistence::New => (unstored, None),
            _ => (self.base.persistence, own.key),
        };
        let newest = match (persistence, decision.step) {
            // The lead is that of the old key. A session that begins is under a new one.
            (_, Step::Create { .. } | Step::Rotate { .. } | Step::Destroy) => Newest::Ended,
            (Persistence::Stored { .. }, _) if revision.is_some() || self.base.is_newest => {
                Newest::Stored { persistence, record: record.clone() }
            }
            _ => Newest::Unknown,
        };
        // One record for all, and each visitor's own token.
        let outcome = |token: Option<&Token>| CommitOutcome {
            persistence,
            key,
            token: token.cloned(),
            record: Some(record.clone()),
            cookie: prepared.cookie(token, persistence, context),
            refused: None,
        };
        for Follower { member, seat } in self.others.drain(..) {
            let outcome = outcome(member.pending.token.as_ref());
            seat.reply(member.failure.map_or(Ok(outcome), Err));
        }
        let own = CommitOutcome { refused: self.refused.take(), ..outcome(token) };
        (newest, self.own.failure.take().map_or(Ok(own), Err))
    }

    /// Replies to all members that the session has ended: their changes are dropped.
    pub(super) fn finish_ended(&mut self, context: &Context) -> CommitOutcome {
        let empty = Arc::new(context.empty_record());
        for Follower { member, seat } in self.others.drain(..) {
            seat.reply(Ok(member.ended(&empty)));
        }
        CommitOutcome { refused: self.refused.take(), ..self.own.ended(&empty) }
    }

    /// Replies to all members that the deadline could not be moved and all else is as it was.
    pub(super) fn finish_untouched(
        &mut self,
        mut prepared: Prepared,
        context: &Context,
    ) -> Finished {
        prepared.decision = Decision { step: Step::Nothing, cookie: CookieRule::Keep };
        self.finish(&prepared, None, context).1
    }

    /// Replies to all members that the commit failed.
    pub(super) fn fail(&mut self, failure: Failure) -> Finished {
        for Follower { seat, .. } in self.others.drain(..) {
            seat.reply(Err(match &failure {
                Failure::Error(error) => error.clone().into(),
                Failure::Panic(_) => outcome_unknown().into(),
            }));
        }
        Err(failure)
    }

    /// Gives up at the leader's deadline, with nothing written. Members that have time left wait for
    /// another leader.
    pub(super) fn give_up(&mut self, contention: Error, lead: &mut Option<Lead>) -> Finished {
        if let Some(lead) = lead {
            let now = Instant::now();
            let waits = |follower: &mut Follower| follower.seat.deadline > now;
            lead.put_back(self.others.extract_if(.., waits).map(Ticket::from).collect());
            lead.newest = self.base.newest();
        }
        self.fail(contention.into())
    }
}

impl Base {
    /// Returns what the next leader has to know where nothing was written.
    fn newest(&self) -> Newest {
        match self.persistence {
            Persistence::Ended => Newest::Ended,
            persistence @ Persistence::Stored { .. } if self.is_newest => {
                Newest::Stored { persistence, record: self.record.clone() }
            }
            _ => Newest::Unknown,
        }
    }
}

impl Prepared {
    /// Returns what becomes of the cookie of a visitor with this token.
    fn cookie(
        &self,
        token: Option<&Token>,
        persistence: Persistence,
        context: &Context,
    ) -> CookieUpdate {
        match (self.decision.cookie, persistence, token) {
            (CookieRule::Set, Persistence::Stored { expires, .. }, Some(token)) => {
                CookieUpdate::Set {
                    value: token.expose(),
                    max_age: self.deadlines.max_age(expires, self.now),
                }
            }
            (CookieRule::SetPreSession { expires }, _, Some(token)) => CookieUpdate::Set {
                value: context.pre_sessions().issue(token, expires),
                max_age: self.deadlines.max_age(expires, self.now),
            },
            (CookieRule::Remove, ..) => CookieUpdate::Remove,
            _ => CookieUpdate::Keep,
        }
    }
}

/// The error of a commit that another request carried out, and never said how it ended.
pub(super) fn outcome_unknown() -> Error {
    let cause = StoreError::unavailable(
        "learn whether the commit was carried out",
        "the request that carried it out was cancelled",
    );
    Kind::Store { attempted: "commit the session", cause }.into()
}
