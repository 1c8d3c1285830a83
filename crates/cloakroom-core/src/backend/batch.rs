//! Batches: the leader's commit and the commits of waiting requests, made in one step.

use std::{mem, sync::Arc};

use bytes::Bytes;
use tokio::time::Instant;

use crate::{
    backend::context::Context,
    crypto::token::Token,
    error::{Error, Kind},
    record::{
        Record,
        lifetimes::{Deadlines, SUCCESSOR},
        owner::Owner,
    },
};
use crate::{
    backend::{
        commit::{
            Changes, CommitOutcome, CookieUpdate, MemberError, MemberResult, PendingCommit,
            TokenAction,
        },
        decide::{Accepts, CookieRule, Decision, Persistence, Step, Usage, Wanted, decide},
        loaded::read_live,
        member::{Follower, Member, SizeCheck},
        turns::{Lead, Newest, Ticket},
    },
    record::change::Contents,
};
use cloakroom_store::{
    Commit, Draft, RecordKey, Revision, StoreError, StoredRecord, TOMBSTONE, clock::Timestamp,
};

/// Commits of one record, in the order in which they take effect.
pub(super) struct Batch {
    /// Invariant: while the base already contains its changes, there are no other members, because an
    /// error of these changes could not be told apart from an error of another member.
    own: Member,
    others: Vec<Follower>,
    base: Base,
    /// The error of the changes after the leader's logout, which were dropped.
    refused: Option<Error>,
}

/// The record that the changes are made on.
struct Base {
    persistence: Persistence,
    record: Arc<Record>,
    /// Whether the record comes from the store or from the previous leader. Otherwise it is the
    /// request's own copy, which may be out of date.
    is_newest: bool,
    /// Whether the session has ended for this request alone, because another one has rotated it.
    has_moved: bool,
    /// The change of the cookie that an earlier step has left to do.
    cookie: CookieRule,
}

/// A batch that is ready to be sent to the store.
pub(super) struct Prepared {
    record: Arc<Record>,
    /// The encoded record. Empty if the step writes no record.
    bytes: Bytes,
    deadlines: Deadlines,
    pub(super) decision: Decision,
    now: Timestamp,
}

impl Batch {
    /// Makes a batch of one commit, based on the record that its request loaded.
    pub(super) fn new(pending: Box<PendingCommit>) -> Self {
        let base = Base {
            persistence: pending.persistence,
            record: pending.record.clone(),
            is_newest: false,
            has_moved: false,
            cookie: CookieRule::Keep,
        };
        let is_applied = matches!(&pending.changes, Changes::Log(log) if !log.is_empty());
        let own = Member { is_applied, ..Member::new(pending) };
        Self { own, others: Vec::new(), base, refused: None }
    }

    /// Makes a batch of one commit, based on the state that the previous leader has left.
    pub(super) fn continue_from(
        newest: Newest,
        pending: Box<PendingCommit>,
        context: &Context,
    ) -> Self {
        let mut batch = Self::new(pending);
        match newest {
            Newest::Unknown => (),
            Newest::Stored { persistence, record } => batch.set_base(persistence, record),
            Newest::Ended => batch.set_ended(context),
        }
        batch
    }

    fn set_base(&mut self, persistence: Persistence, record: Arc<Record>) {
        self.base.persistence = persistence;
        // A logout destroys the stored record. Its own record belongs to the session after it.
        if !self.own.pending.is_logout() {
            self.base.record = record;
            self.base.is_newest = true;
            self.own.is_applied = false;
        }
    }

    /// Bases the batch on the record that another process has written.
    pub(super) fn rebase(&mut self, stored: &StoredRecord, context: &Context) {
        let record =
            self.own.pending.key.and_then(|key| read_live(&key, stored, context.now(), context));
        match record {
            Some(record) => self.set_base(stored.into(), Arc::new(record)),
            None => self.set_ended(context),
        }
    }

    /// Bases the batch on an empty record, because the session has ended.
    pub(super) fn set_ended(&mut self, context: &Context) {
        self.set_base(Persistence::Ended, Arc::new(context.empty_record()));
    }

    /// Bases the batch on a new session, after the logout of the previous one has succeeded.
    pub(super) fn start_over(&mut self) {
        self.base.persistence = Persistence::New;
        self.base.cookie = CookieRule::Remove;
    }

    /// Bases the batch on the record that an earlier commit of the request has written under its new
    /// key. The visitor has not got the cookie yet.
    pub(super) fn go_on_from(&mut self, stored: &StoredRecord, record: Record) {
        self.own.pending.go_on();
        self.set_base(stored.into(), Arc::new(record));
        self.base.cookie = CookieRule::Set;
    }

    /// Remembers that the session is live under the key that another request has rotated it to.
    pub(super) fn set_moved(&mut self) {
        self.base.has_moved = true;
    }

    /// Returns whether the store has to be asked what has become of a session that has ended.
    pub(super) fn has_unclear_end(&self) -> bool {
        let own = &self.own.pending;
        self.base.persistence == Persistence::Ended
            && (own.key_in_doubt().is_some() || (own.signs_in_again() && !self.base.has_moved))
    }

    /// Draws a new token after the store has reported the key of the last one as taken, by no earlier
    /// commit of this request. Random keys do not collide in practice, so only a faulty store reports
    /// it. The token keeps its tag, because handles contain it, and its seed, because the CSRF tokens of
    /// the page depend on it.
    pub(super) fn draw_new_token(&mut self) {
        let PendingCommit { token, action, .. } = &mut *self.own.pending;
        match action {
            TokenAction::Keep => *token = token.as_ref().map(Token::redrawn),
            TokenAction::Rotate(next) | TokenAction::Destroy(next) => *next = next.redrawn(),
        }
    }

    /// Adds the waiting commits to the batch. Returns the latest deadline of their requests.
    pub(super) fn add_waiting(&mut self, lead: &Lead) -> Option<Instant> {
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

    /// Returns whether the session has ended and the leader has nothing to commit without it. The
    /// changes are then dropped, because their closures would run on an empty record that never
    /// belonged to the session.
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

    /// Makes all changes on the base and decides on the step. If the changes after a logout fail, the
    /// logout is carried out without them.
    ///
    /// The first merge checks the size of the record as a whole. If it is larger than `max_bytes`, a
    /// second merge checks it after each member. The record may still be larger then, because a member's
    /// changes are accepted above the limit as long as they do not enlarge the record.
    ///
    /// # Errors
    /// When the leader is the only member, its changes fail, and it is not a logout.
    pub(super) fn prepare(&mut self, context: &Context) -> Result<Prepared, MemberError> {
        let mut prepared = self.merge(SizeCheck::Whole, context)?;
        if prepared.bytes.len() > context.max_bytes() {
            prepared = self.merge(SizeCheck::Each, context)?;
        }
        if !self.others.is_empty() {
            return Ok(prepared);
        }
        match self.own.error.take() {
            None => Ok(prepared),
            Some(MemberError::Error(error)) if self.own.pending.is_logout() => {
                self.refused = Some(error);
                self.own.pending.drop_changes(context);
                self.base.record = self.own.pending.record.clone();
                self.merge(SizeCheck::Whole, context)
            }
            Some(error) => Err(error),
        }
    }

    /// Makes the changes of all members on the base. A member whose changes fail gets the error.
    fn merge(&mut self, check: SizeCheck, context: &Context) -> Result<Prepared, MemberError> {
        let now = context.now();
        let mut record = self.base.record.clone();
        let others = self.others.iter_mut().map(|follower| &mut follower.member);
        for member in std::iter::once(&mut self.own).chain(others) {
            member.error = member.apply(&mut record, check, context).err();
        }
        let deadlines = context.deadlines(&record);
        let mut decision = decide(self.base.persistence, self.wanted(&record), deadlines, now);
        if decision.cookie == CookieRule::Keep {
            decision.cookie = self.base.cookie;
        }
        let writes = decision.step.writes_record();
        let bytes =
            if writes { Bytes::from(record.encode(Some(context.apps()))?) } else { Bytes::new() };
        Ok(Prepared { record, bytes, deadlines, decision, now })
    }

    /// Summarizes the commits of all members for the decision.
    fn wanted(&self, record: &Record) -> Wanted {
        let is_used = self.members().any(|member| member.pending.usage == Usage::Used);
        let own = self.own.pending.wanted(record);
        Wanted {
            contents: self.members().map(Member::contents).max().unwrap_or(Contents::Unchanged),
            signs_in: own.signs_in || self.base.has_moved,
            usage: if is_used { Usage::Used } else { Usage::Unused },
            ..own
        }
    }

    /// Returns the step for the store, if there is one. Takes the encoded record out of `prepared`,
    /// because a second owner of the bytes would cost an allocation.
    pub(super) fn commit(&self, prepared: &mut Prepared, context: &Context) -> Option<Commit> {
        let Prepared { record, bytes, decision, now, .. } = prepared;
        let own = &self.own.pending;
        let mut draft = |expires, key: &RecordKey| {
            let bytes = context.records().write(mem::take(bytes), key);
            Draft::new(bytes, *now, context.lifetimes().idle(record))
                .with_expires(expires)
                .with_owner(record.owner.as_ref().map(Owner::key))
        };
        let new_key = || own.token_afterwards().map(Token::record_key);
        if let Step::Create { expires } = decision.step {
            let key = new_key()?;
            return Some(Commit::create(key, draft(expires, &key)));
        }
        let (key, Persistence::Stored { revision, .. }) = (own.key?, self.base.persistence) else {
            return None;
        };
        match decision.step {
            Step::Nothing | Step::DestroySuccessor | Step::Create { .. } => None,
            Step::Replace { expires } => Some(Commit::replace(key, revision, draft(expires, &key))),
            Step::Touch { expires } => Some(Commit::touch(key, revision, expires)),
            Step::Rotate { expires, accepts } => {
                let to = new_key()?;
                let expected = (accepts == Accepts::Expected).then_some(revision);
                let tombstone = match accepts {
                    Accepts::Expected => *now + SUCCESSOR,
                    Accepts::Any => *now + TOMBSTONE,
                };
                Some(Commit::rotate(key, expected, to, draft(expires, &to), tombstone))
            }
            Step::Destroy => Some(Commit::destroy(key, *now + TOMBSTONE)),
        }
    }

    /// Replies to all members. `revision` is the one that the store has returned, if there was a step
    /// for the store. Returns the state of the record for the next leader, and the leader's own result.
    pub(super) fn finish(
        &mut self,
        prepared: &Prepared,
        revision: Option<Revision>,
        context: &Context,
    ) -> (Newest, MemberResult) {
        let (persistence, key) = self.stored_as(prepared.decision, revision);
        let newest = self.newest(prepared, persistence, revision);
        // Nothing was read or written, and a member may have loaded the record later than the leader.
        let keeps_copies = prepared.decision.step == Step::Nothing && !self.base.is_newest;
        // All members share the record. Each has its own visitor's token.
        let outcome = |token: Option<&Token>| CommitOutcome {
            persistence,
            key,
            token: token.cloned(),
            record: prepared.record.clone(),
            cookie: prepared.cookie(token, persistence, context),
            step: prepared.decision.step,
            refused: None,
        };
        for Follower { member, seat } in self.others.drain(..) {
            let mut outcome = outcome(member.pending.token.as_ref());
            if keeps_copies {
                outcome.persistence = member.pending.persistence;
                outcome.record = member.pending.record.clone();
            }
            seat.reply(member.error.map_or(Ok(outcome), Err));
        }
        let own = &self.own.pending;
        let is_untouched =
            prepared.decision.step == Step::Nothing && prepared.decision.cookie == CookieRule::Keep;
        // The visitor has no other token than before if neither a record nor a cookie has the new one.
        let token = if is_untouched { own.token.as_ref() } else { own.token_afterwards() };
        let own = CommitOutcome { refused: self.refused.take(), ..outcome(token) };
        (newest, self.own.error.take().map_or(Ok(own), Err))
    }

    /// Returns how and under which key the session is stored after the decision was carried out.
    fn stored_as(
        &self,
        decision: Decision,
        revision: Option<Revision>,
    ) -> (Persistence, Option<RecordKey>) {
        let own = &self.own.pending;
        let unstored = match decision.cookie {
            CookieRule::SetPreSession { expires } => Persistence::PreSession { expires },
            _ => Persistence::New,
        };
        match (decision.step, revision) {
            (Step::Create { expires } | Step::Rotate { expires, .. }, Some(revision)) => {
                let key = own.token_afterwards().map(Token::record_key);
                (Persistence::Stored { revision, expires }, key)
            }
            (Step::Replace { expires } | Step::Touch { expires }, Some(revision)) => {
                (Persistence::Stored { revision, expires }, own.key)
            }
            (Step::Destroy, Some(_)) => (unstored, None),
            _ if self.base.cookie == CookieRule::Remove || unstored != Persistence::New => {
                (unstored, None)
            }
            _ => (self.base.persistence, own.key),
        }
    }

    /// Returns the state of the record for the next leader.
    fn newest(
        &self,
        prepared: &Prepared,
        persistence: Persistence,
        revision: Option<Revision>,
    ) -> Newest {
        match (persistence, prepared.decision.step) {
            // The lead belongs to the old key. A new session has a new key.
            (_, Step::Create { .. } | Step::Rotate { .. } | Step::Destroy) => Newest::Ended,
            (Persistence::Stored { .. }, _) if revision.is_some() || self.base.is_newest => {
                Newest::Stored { persistence, record: prepared.record.clone() }
            }
            _ => Newest::Unknown,
        }
    }

    /// Replies to all members that the session has ended and their changes are dropped.
    pub(super) fn finish_ended(&mut self, context: &Context) -> CommitOutcome {
        let empty = Arc::new(context.empty_record());
        for Follower { member, seat } in self.others.drain(..) {
            seat.reply(Ok(member.ended_outcome(&empty)));
        }
        CommitOutcome { refused: self.refused.take(), ..self.own.ended_outcome(&empty) }
    }

    /// Replies to all members after a failed touch: the record and its deadline are unchanged.
    pub(super) fn finish_untouched(
        &mut self,
        mut prepared: Prepared,
        context: &Context,
    ) -> MemberResult {
        prepared.decision = Decision { step: Step::Nothing, cookie: CookieRule::Keep };
        self.finish(&prepared, None, context).1
    }

    /// Replies to all members that the commit failed.
    pub(super) fn fail(&mut self, error: MemberError) -> MemberResult {
        for Follower { seat, .. } in self.others.drain(..) {
            seat.reply(Err(match &error {
                MemberError::Error(error) => error.clone().into(),
                MemberError::Panic(_) => outcome_unknown().into(),
            }));
        }
        Err(error)
    }

    /// Gives up at the leader's deadline, with nothing written. Members that have time left wait for
    /// another leader.
    pub(super) fn give_up(&mut self, contention: Error, lead: &mut Option<Lead>) -> MemberResult {
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
    /// Returns the state of the record for the next leader, if this one has written nothing.
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
    /// Returns the update of the cookie of a visitor with this token.
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

/// Makes the error of a commit that another request carried out without reporting the outcome.
pub(super) fn outcome_unknown() -> Error {
    let cause = StoreError::unavailable(
        "learn whether the commit was carried out",
        "the request that carried it out was cancelled",
    );
    Kind::Store { attempted: "commit the session", cause }.into()
}
