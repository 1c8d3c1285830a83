//! Server-side sessions: loading, and the commit protocol of compare, swap and rebase.

use std::{
    ops::ControlFlow::{self, Break, Continue},
    panic::resume_unwind,
    sync::Arc,
};

use futures_util::{FutureExt, future::Either};

use crate::backend::{
    Choice, LoadedSession,
    attempts::Attempts,
    batch::{Batch, Failure, Finished, Prepared, outcome_unknown},
    commit::{CommitOutcome, PendingCommit, Persistence, Seal},
    decide::Step,
    read_live,
    turns::{Joined, Lead, Newest, Reply, Turn, Turns},
};
use crate::{
    backend::context::Context,
    cookie::TokenCandidates,
    crypto::{app_tag::TagKey, token::Token},
    error::{Error, Kind},
    observe,
    record::{
        Record,
        lifetimes::{self, SUCCESSOR},
    },
};
use cloakroom_store::{
    Commit, Entry, Outcome, RecordKey, Revision, Store, StoreError, StoredRecord, TOMBSTONE,
};

/// How many rotations of one session are followed.
const MAX_ROTATIONS: usize = 256;

/// A store, and the queues of those who write to it.
#[derive(Debug)]
pub(crate) struct StoreBackend {
    store: Arc<dyn Store>,
    turns: Arc<Turns>,
}

/// When a tombstone goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Burial {
    /// After the time that late requests of the session take.
    Remembered,
    /// At once. Whoever ends a session from outside does not tell its browser, which has to be able
    /// to sign in again.
    Forgotten,
}

impl StoreBackend {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, turns: Arc::new(Turns::new()) }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Loads the session that the presented tokens name.
    pub(super) async fn load(
        &self,
        presented: &TokenCandidates<'_>,
        context: &Context,
    ) -> Result<Option<LoadedSession>, Error> {
        let mut choice = Choice::default();
        for value in &presented.candidates {
            let Some(token) = Token::parse(value) else {
                if let Some(opened) = context.pre_sessions().open(value, context.now()) {
                    choice.offer(LoadedSession::pre_session(opened, context));
                }
                continue;
            };
            let key = token.record_key();
            let load = observe::Load::begin(self.store.name());
            let loaded = self.store().load(&key).await;
            load.answered(&loaded);
            match loaded.map_err(|cause| failed("load the session", cause))? {
                None => (),
                Some(Entry::Live(stored)) => {
                    if let Some(live) = read(token, key, &stored, context) {
                        choice.offer(live);
                    }
                }
                Some(Entry::Tombstone { successor, expires, .. }) => {
                    let now = context.now();
                    if lifetimes::tombstone_counts(successor.is_some(), expires, now) {
                        choice.offer(LoadedSession::ended(token, key, context));
                    }
                }
            }
        }
        Ok(choice.made())
    }

    /// Loads the record under `key` as it is now, within the deadline of a commit.
    pub(crate) async fn reload(
        &self,
        key: Option<RecordKey>,
        context: &Context,
    ) -> Result<(Persistence, Arc<Record>), Error> {
        let ended = || (Persistence::Ended, Arc::new(context.empty_record()));
        let Some(key) = key else { return Ok(ended()) };
        let mut attempts = Attempts::new(context);
        let found = attempts.within(self.store().load(&key)).await;
        let found = found.unwrap_or_else(|| Err(attempts.no_answer()));
        let found = found.map_err(|cause| failed("load the session", cause))?;
        let Some(Entry::Live(stored)) = found else { return Ok(ended()) };
        let record = read_live(&stored, context.now(), context);
        Ok(record.map_or_else(ended, |record| ((&stored).into(), Arc::new(record))))
    }

    pub(crate) fn committer<'c>(&'c self, context: &'c Context) -> Committer<'c> {
        Committer { store: &*self.store, turns: &self.turns, context }
    }
}

/// Reads a stored record, if it is live.
fn read(
    token: Token,
    key: RecordKey,
    stored: &StoredRecord,
    context: &Context,
) -> Option<LoadedSession> {
    let at = context.now();
    let record = Arc::new(read_live(stored, at, context)?);
    let seal = match record.tag_key {
        TagKey::Newest => Seal::Current,
        TagKey::Older => Seal::OfOldKey,
    };
    let persistence = stored.into();
    Some(LoadedSession { persistence, key: Some(key), token, record, seal, at })
}

/// Carries out commits on a store.
#[derive(Clone, Copy)]
pub(crate) struct Committer<'c> {
    store: &'c dyn Store,
    turns: &'c Arc<Turns>,
    context: &'c Context,
}

impl<'c> Committer<'c> {
    /// Commits what is pending, together with what waits for the same record.
    pub(crate) fn commit(
        self,
        pending: Box<PendingCommit>,
    ) -> impl Future<Output = Result<CommitOutcome, Error>> + Send + use<'c> {
        let mut attempts = Attempts::new(self.context);
        let finished = match self.begin(pending, &mut attempts) {
            Ok((lead, batch)) => Either::Left(self.carry_out(lead, batch, attempts)),
            // In a box, because a commit that need not wait has no use for the room.
            Err(turn) => Either::Right(Box::pin(self.wait(turn, attempts))),
        };
        finished.map(|finished| match finished {
            Ok(outcome) => Ok(outcome),
            Err(Failure::Error(error)) => Err(error),
            Err(Failure::Panic(payload)) => resume_unwind(payload),
        })
    }

    /// Begins a batch. Returns a turn to wait for where others commit the same record.
    fn begin(
        self,
        pending: Box<PendingCommit>,
        attempts: &mut Attempts<'_>,
    ) -> Result<(Option<Lead>, Batch), Turn> {
        let (Persistence::Stored { .. }, Some(key)) = (pending.persistence, pending.key) else {
            return Ok((None, Batch::new(pending)));
        };
        match self.turns.join(key, pending, || attempts.deadline()) {
            Joined::Leads(lead, pending) => Ok((Some(lead), Batch::new(pending))),
            Joined::Waits(turn) => Err(turn),
        }
    }

    async fn wait(self, turn: Turn, mut attempts: Attempts<'c>) -> Finished {
        match turn.reply(&mut attempts).await {
            Some(Ok(Reply::Finished(finished))) => finished,
            Some(Ok(Reply::Lead(mut lead, pending))) => {
                let batch = Batch::on(std::mem::take(&mut lead.newest), pending, self.context);
                self.carry_out(Some(lead), batch, attempts).await
            }
            Some(Err(_)) => Err(outcome_unknown().into()),
            None => Err(attempts.contention().into()),
        }
    }

    /// Commits a batch. `lead` is the right to commit the record, where it is stored already.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps room for its arguments twice")]
    fn carry_out(
        self,
        mut lead: Option<Lead>,
        mut batch: Batch,
        mut attempts: Attempts<'c>,
    ) -> impl Future<Output = Finished> + Send + use<'c> {
        async move {
            if batch.own().ends_former_session() {
                Box::pin(self.destroy_successor(batch.own(), &mut attempts)).await?;
            }
            loop {
                let attempt = self.attempt(&mut lead, &mut batch, &mut attempts);
                if let Break(finished) = attempt.await {
                    return finished;
                }
                if let Err(contention) = attempts.next().await {
                    return batch.give_up(contention, &mut lead);
                }
            }
        }
    }

    /// Makes one attempt to commit a batch. Another has to follow where the record is not what the
    /// batch took it for.
    async fn attempt(
        &self,
        lead: &mut Option<Lead>,
        batch: &mut Batch,
        attempts: &mut Attempts<'_>,
    ) -> ControlFlow<Finished> {
        if let Some(latest) = lead.as_ref().and_then(|lead| batch.take_along(lead)) {
            attempts.extend(latest);
        }
        self.finish_if_ended(lead, batch)?;
        let mut prepared = match batch.prepare(self.context) {
            Ok(prepared) => prepared,
            Err(failure) => return Break(batch.fail(failure)),
        };
        let step = prepared.decision.step;
        if step == Step::DestroySuccessor {
            // In a box, because it is rare and its future large.
            return Box::pin(self.follow_logout(lead, batch, attempts)).await;
        }
        let Some(commit) = batch.commit(&mut prepared, self.context) else {
            return Break(self.finish(lead, batch, &prepared, None));
        };
        match self.send(commit, "commit the session", attempts).await {
            Ok(Outcome::Done(revision)) => {
                return Break(self.finish(lead, batch, &prepared, Some(revision)));
            }
            Ok(Outcome::Conflict(stored)) => {
                observe::rebased(attempts.made());
                batch.rebase(&stored, self.context);
            }
            Ok(Outcome::Exists) => batch.draw_new_token(),
            Ok(Outcome::Gone) => {
                batch.end(self.context);
                self.finish_if_ended(lead, batch)?;
            }
            // A deadline that stays loses nothing of what the handlers did.
            Err(error) if matches!(step, Step::Touch { .. }) => {
                observe::touch_failed(&error);
                return Break(batch.finish_untouched(prepared, self.context));
            }
            Err(error) => return Break(batch.fail(error.into())),
        }
        Continue(())
    }

    /// Replies to all members of a batch. `revision` is the store's answer to the step, where there
    /// was one.
    fn finish(
        &self,
        lead: &mut Option<Lead>,
        batch: &mut Batch,
        prepared: &Prepared,
        revision: Option<Revision>,
    ) -> Finished {
        let (newest, finished) = batch.finish(prepared, revision, self.context);
        pass_on(lead, newest);
        finished
    }

    /// Finishes a batch that wants nothing but changes of a session that has ended.
    fn finish_if_ended(&self, lead: &mut Option<Lead>, batch: &mut Batch) -> ControlFlow<Finished> {
        if batch.drops_changes(self.context) {
            pass_on(lead, Newest::Ended);
            Break(Ok(batch.finish_ended(self.context)))
        } else {
            Continue(())
        }
    }

    /// Carries out a logout whose session has moved to another key.
    async fn follow_logout(
        &self,
        lead: &mut Option<Lead>,
        batch: &mut Batch,
        attempts: &mut Attempts<'_>,
    ) -> ControlFlow<Finished> {
        // Nobody has to wait for this: the session has ended for all of them.
        pass_on(lead, Newest::Ended);
        drop(lead.take());
        match self.destroy_successor(batch.own(), attempts).await {
            Ok(true) => batch.start_over(),
            Ok(false) => return Break(Ok(batch.finish_ended(self.context))),
            Err(error) => return Break(batch.fail(error.into())),
        }
        Continue(())
    }

    /// Ends the session under the key that another request has rotated it to: that the visitor
    /// presented the old token must not save it from its logout. Returns whether there was one.
    async fn destroy_successor(
        &self,
        logout: &PendingCommit,
        attempts: &mut Attempts<'_>,
    ) -> Result<bool, Error> {
        let Some(key) = logout.key else { return Ok(false) };
        let find = || self.find_following_rotations(key);
        let destroyed = self.destroy_with(attempts, Burial::Remembered, find).await?;
        if !destroyed && self.context.now() >= logout.loaded_at + SUCCESSOR {
            // A tombstone from the time when the request began may be gone.
            let cause = StoreError::failed(
                "find out where the session was moved to",
                format!("the request took longer than {SUCCESSOR:?}"),
            );
            return Err(failed("destroy the session", cause));
        }
        Ok(destroyed)
    }

    /// Finds the live record of this application that `key` names, or that rotations have moved from
    /// there. A tombstone does not say whose it is.
    async fn find_following_rotations(&self, key: RecordKey) -> Result<Option<RecordKey>, Error> {
        let found = load_following_rotations(self.store, key).await?;
        let is_own =
            |stored: &StoredRecord| read_live(stored, self.context.now(), self.context).is_some();
        Ok(found.filter(|(_, stored)| is_own(stored)).map(|(key, _)| key))
    }

    /// Ends the session under the key that `find` returns, again and again while it moves in between.
    /// Returns whether there was one.
    pub(crate) async fn destroy<F, L>(&self, burial: Burial, find: F) -> Result<bool, Error>
    where
        F: Fn() -> L + Send,
        L: Future<Output = Result<Option<RecordKey>, Error>> + Send,
    {
        self.destroy_with(&mut Attempts::new(self.context), burial, find).await
    }

    async fn destroy_with<F, L>(
        &self,
        attempts: &mut Attempts<'_>,
        burial: Burial,
        find: F,
    ) -> Result<bool, Error>
    where
        F: Fn() -> L + Send,
        L: Future<Output = Result<Option<RecordKey>, Error>> + Send,
    {
        loop {
            let found = attempts.within(Box::pin(find())).await;
            let no_answer = || Err(failed("find a session", attempts.no_answer()));
            let Some(key) = found.unwrap_or_else(no_answer)? else { return Ok(false) };
            let now = self.context.now();
            let tombstone = match burial {
                Burial::Remembered => now + TOMBSTONE,
                Burial::Forgotten => now,
            };
            let destroy = Commit::destroy(key, tombstone);
            if let Outcome::Done(_) = self.send(destroy, "end a session", attempts).await? {
                return Ok(true);
            }
            attempts.next().await?;
        }
    }

    /// Sends one step. `attempted` says in an error what it was for. The step itself is in the
    /// store's future alone.
    fn send(
        &self,
        commit: Commit,
        attempted: &'static str,
        attempts: &mut Attempts<'_>,
    ) -> impl Future<Output = Result<Outcome, Error>> + Send {
        let step = observe::Step::begin(self.store.name(), &commit);
        let sent = self.store.commit(commit);
        async move {
            let outcome = attempts.within(sent).await.unwrap_or_else(|| Err(attempts.no_answer()));
            step.answered(&outcome);
            outcome.map_err(|cause| failed(attempted, cause))
        }
    }
}

/// Says what the next leader has to know. It leads once this lead is dropped.
fn pass_on(lead: &mut Option<Lead>, newest: Newest) {
    if let Some(lead) = lead {
        lead.newest = newest;
    }
}

/// Loads the live record that `key` names, or that rotations have moved from there, of whichever
/// application it is.
pub(crate) async fn load_following_rotations(
    store: &dyn Store,
    mut key: RecordKey,
) -> Result<Option<(RecordKey, StoredRecord)>, Error> {
    for _ in 0..MAX_ROTATIONS {
        let found = store.load(&key).await.map_err(|cause| failed("find a session", cause))?;
        match found {
            Some(Entry::Live(stored)) => return Ok(Some((key, stored))),
            Some(Entry::Tombstone { successor: Some(successor), .. }) => key = successor,
            Some(Entry::Tombstone { successor: None, .. }) | None => return Ok(None),
        }
    }
    Ok(None)
}

/// Awaits what follows a commit for as long as a commit may take.
pub(crate) async fn within_deadline<T>(
    work: impl Future<Output = Result<T, Error>> + Unpin,
    context: &Context,
) -> Result<T, Error> {
    let mut attempts = Attempts::new(context);
    let done = attempts.within(work).await;
    done.unwrap_or_else(|| Err(failed("count an owner's sessions", attempts.no_answer())))
}

pub(crate) fn failed(attempted: &'static str, cause: StoreError) -> Error {
    Kind::Store { attempted, cause }.into()
}
