//! The commit protocol of compare, swap and rebase.

use std::{
    ops::ControlFlow::{self, Break, Continue},
    panic::resume_unwind,
    sync::Arc,
};

use futures_util::{FutureExt, TryFutureExt as _, future::Either};

use crate::backend::{
    attempts::Attempts,
    batch::{Batch, Prepared, outcome_unknown},
    commit::{CommitOutcome, MemberError, MemberResult, PendingCommit},
    decide::{Persistence, Step},
    events::{EndedBy, SessionEventKind},
    loaded::read_live,
    lookup::handle_of,
    store::{StoreBackend, failed, load_following_rotations},
    turns::{Joined, Lead, Newest, Reply, Turn, Turns},
};
use crate::{
    backend::context::Context,
    error::Error,
    observe,
    record::{lifetimes::SUCCESSOR, owner::Owner},
};
use cloakroom_store::{
    Commit, Entry, Outcome, RecordKey, Revision, Store, StoreError, TOMBSTONE, WatchedKeys,
    clock::Timestamp,
};

/// The name of a search for a session in errors.
const FIND: &str = "find a session";

/// A session that is to be ended.
pub(crate) struct EndingSession {
    pub(crate) key: RecordKey,
    pub(crate) owner: Option<Owner>,
}

/// Carries out commits on a store.
#[derive(Clone, Copy)]
pub(crate) struct Committer<'c> {
    pub(super) store: &'c dyn Store,
    pub(super) turns: &'c Arc<Turns>,
    pub(super) watched: &'c WatchedKeys,
    pub(super) context: &'c Context,
}

impl StoreBackend {
    pub(crate) fn committer<'c>(&'c self, context: &'c Context) -> Committer<'c> {
        let Self { turns, watched, .. } = self;
        Committer { store: self.store(), turns, watched, context }
    }
}

impl<'c> Committer<'c> {
    /// Commits `pending`, together with commits that wait for the same record.
    pub(crate) fn commit(
        self,
        pending: Box<PendingCommit>,
    ) -> impl Future<Output = Result<CommitOutcome, Error>> + Send + use<'c> {
        let mut attempts = Attempts::new(self.context);
        let result = match self.begin(pending, &mut attempts) {
            Ok((lead, batch)) => Either::Left(self.carry_out(lead, batch, attempts)),
            // In a box, because a commit without a wait does not need the space.
            Err(turn) => Either::Right(Box::pin(self.wait(turn, attempts))),
        };
        result.map(|result| match result {
            Ok(outcome) => Ok(outcome),
            Err(MemberError::Error(error)) => Err(error),
            Err(MemberError::Panic(payload)) => resume_unwind(payload),
        })
    }

    /// Begins a batch. Returns a turn to wait for if another commit of the same record is under way.
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

    /// Waits until a leader has committed for this request, or until the request leads itself.
    async fn wait(self, turn: Turn, mut attempts: Attempts<'c>) -> MemberResult {
        match turn.reply(&mut attempts).await {
            Some(Ok(Reply::Finished(result))) => result,
            Some(Ok(Reply::Lead(mut lead, pending))) => {
                let newest = std::mem::take(&mut lead.newest);
                let batch = Batch::continue_from(newest, pending, self.context);
                self.carry_out(Some(lead), batch, attempts).await
            }
            Some(Err(_)) => Err(outcome_unknown().into()),
            None => Err(attempts.contention().into()),
        }
    }

    /// Commits a batch. `lead` is the right to commit a record that is stored already.
    #[expect(clippy::manual_async_fn, reason = "an async fn keeps room for its arguments twice")]
    fn carry_out(
        self,
        mut lead: Option<Lead>,
        mut batch: Batch,
        mut attempts: Attempts<'c>,
    ) -> impl Future<Output = MemberResult> + Send + use<'c> {
        async move {
            if batch.own().ends_former_session()
                && Box::pin(self.destroy_successor(batch.own(), &mut attempts)).await?
            {
                batch.start_over();
            }
            loop {
                let attempt = self.attempt(&mut lead, &mut batch, &mut attempts);
                if let Break(result) = attempt.await {
                    return result;
                }
                if let Err(contention) = attempts.next().await {
                    return batch.give_up(contention, &mut lead);
                }
            }
        }
    }

    /// Makes one attempt to commit a batch. Continues if the stored record differs from the one that
    /// the batch starts from, because another attempt may then succeed.
    async fn attempt(
        &self,
        lead: &mut Option<Lead>,
        batch: &mut Batch,
        attempts: &mut Attempts<'_>,
    ) -> ControlFlow<MemberResult> {
        if let Some(latest) = lead.as_ref().and_then(|lead| batch.add_waiting(lead)) {
            attempts.extend(latest);
        }
        self.finish_if_ended(lead, batch, attempts).await?;
        let mut prepared = match batch.prepare(self.context) {
            Ok(prepared) => prepared,
            Err(error) => return Break(batch.fail(error)),
        };
        let step = prepared.decision.step;
        if step == Step::DestroySuccessor {
            // In a box, because it is rare and its future is large.
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
            Ok(Outcome::Exists) => match Box::pin(self.go_on(lead, batch, attempts)).await {
                Ok(true) => (),
                Ok(false) => batch.draw_new_token(),
                Err(error) => return Break(batch.fail(error.into())),
            },
            Ok(Outcome::Gone) => {
                batch.set_ended(self.context);
                self.finish_if_ended(lead, batch, attempts).await?;
            }
            // A failed touch loses no change of a handler, so the request succeeds.
            Err(error) if matches!(step, Step::Touch { .. }) => {
                observe::touch_failed(&error);
                return Break(batch.finish_untouched(prepared, self.context));
            }
            Err(error) => return Break(batch.fail(error.into())),
        }
        Continue(())
    }

    /// Replies to all members of a batch. `revision` is the one that the store has returned, if the
    /// batch had a step for the store.
    fn finish(
        &self,
        lead: &mut Option<Lead>,
        batch: &mut Batch,
        prepared: &Prepared,
        revision: Option<Revision>,
    ) -> MemberResult {
        let (newest, result) = batch.finish(prepared, revision, self.context);
        pass_on(lead, newest);
        result
    }

    /// Finishes a batch that only changes a session that has ended.
    async fn finish_if_ended(
        &self,
        lead: &mut Option<Lead>,
        batch: &mut Batch,
        attempts: &mut Attempts<'_>,
    ) -> ControlFlow<MemberResult> {
        if batch.has_unclear_end() {
            // In a box, because it is rare and its future is large.
            if let Err(error) = Box::pin(self.find_out(lead, batch, attempts)).await {
                return Break(batch.fail(error.into()));
            }
        }
        if batch.drops_changes(self.context) {
            pass_on(lead, Newest::Ended);
            Break(Ok(batch.finish_ended(self.context)))
        } else {
            Continue(())
        }
    }

    /// Finds out what has become of the session of a batch, which has no record under its key.
    async fn find_out(
        &self,
        lead: &mut Option<Lead>,
        batch: &mut Batch,
        attempts: &mut Attempts<'_>,
    ) -> Result<(), Error> {
        if self.go_on(lead, batch, attempts).await? {
            return Ok(());
        }
        if let (true, Some(key)) = (batch.own().signs_in_again(), batch.own().key) {
            let find = Box::pin(self.find_following_rotations(key));
            if within(attempts, find).await?.is_some() {
                batch.set_moved();
            }
        }
        Ok(())
    }

    /// Lets a batch go on from the record that an earlier commit of its request has written, although
    /// the reply of the store was lost. Returns whether there is one.
    async fn go_on(
        &self,
        lead: &mut Option<Lead>,
        batch: &mut Batch,
        attempts: &mut Attempts<'_>,
    ) -> Result<bool, Error> {
        let Some(key) = batch.own().key_in_doubt() else { return Ok(false) };
        let load = self.store.load(&key).map_err(|cause| failed(FIND, cause));
        let Some(Entry::Live(stored)) = within(attempts, load).await? else { return Ok(false) };
        let Some(record) = read_live(&key, &stored, self.context.now(), self.context) else {
            return Ok(false);
        };
        // The lead belongs to the old key.
        pass_on(lead, Newest::Ended);
        drop(lead.take());
        batch.go_on_from(&stored, record);
        Ok(true)
    }

    /// Carries out a logout whose session has moved to another key.
    async fn follow_logout(
        &self,
        lead: &mut Option<Lead>,
        batch: &mut Batch,
        attempts: &mut Attempts<'_>,
    ) -> ControlFlow<MemberResult> {
        // The waiting commits need no result of this step, because their session has ended.
        pass_on(lead, Newest::Ended);
        drop(lead.take());
        match self.destroy_successor(batch.own(), attempts).await {
            Ok(true) => batch.start_over(),
            Ok(false) => return Break(Ok(batch.finish_ended(self.context))),
            Err(error) => return Break(batch.fail(error.into())),
        }
        Continue(())
    }

    /// Destroys the session under the key that another request has rotated it to, because a logout
    /// with the old token must end it as well. Returns whether there was one.
    async fn destroy_successor(
        &self,
        logout: &PendingCommit,
        attempts: &mut Attempts<'_>,
    ) -> Result<bool, Error> {
        let Some(key) = logout.key else { return Ok(false) };
        let find = || self.find_following_rotations(key);
        let destroyed = self.destroy_with(attempts, EndedBy::Visitor, find).await?;
        if !destroyed && self.context.now() >= logout.loaded_at + SUCCESSOR {
            // A tombstone that existed when the request began may have expired.
            let cause = StoreError::failed(
                "find out where the session was moved to",
                format!("the request took longer than {SUCCESSOR:?}"),
            );
            return Err(failed("destroy the session", cause));
        }
        Ok(destroyed)
    }

    /// Finds this application's live record under `key`, following rotations. Reads the
    /// record, because a tombstone does not name the application.
    async fn find_following_rotations(
        &self,
        key: RecordKey,
    ) -> Result<Option<EndingSession>, Error> {
        let found = load_following_rotations(self.store, key).await?;
        Ok(found.and_then(|(key, stored)| {
            let record = read_live(&key, &stored, self.context.now(), self.context)?;
            Some(EndingSession { key, owner: record.owner })
        }))
    }

    /// Destroys the session that `find` returns, and reports who has ended it. Finds it again if it has moved
    /// in between. Returns whether there was one.
    pub(crate) async fn destroy<F, L>(&self, by: EndedBy, find: F) -> Result<bool, Error>
    where
        F: Fn() -> L + Send,
        L: Future<Output = Result<Option<EndingSession>, Error>> + Send,
    {
        self.destroy_with(&mut Attempts::new(self.context), by, find).await
    }

    async fn destroy_with<F, L>(
        &self,
        attempts: &mut Attempts<'_>,
        by: EndedBy,
        find: F,
    ) -> Result<bool, Error>
    where
        F: Fn() -> L + Send,
        L: Future<Output = Result<Option<EndingSession>, Error>> + Send,
    {
        loop {
            let found = within(attempts, Box::pin(find())).await?;
            let Some(EndingSession { key, owner }) = found else { return Ok(false) };
            let destroy = Commit::destroy(key, self.tombstone(by));
            if let Outcome::Done(_) = self.send(destroy, "end a session", attempts).await? {
                let handle = handle_of(self.store, owner.as_ref(), key);
                let ended = SessionEventKind::Destroyed(by);
                self.context.report(ended, owner.as_ref(), Some(handle));
                return Ok(true);
            }
            attempts.next().await?;
        }
    }

    /// Returns until when the tombstone of a destroyed session counts: for the time that late requests of the
    /// session may take. A session that is ended from outside of its requests leaves the cookie in the
    /// browser, and a tombstone would keep that browser from signing in again.
    fn tombstone(&self, by: EndedBy) -> Timestamp {
        let now = self.context.now();
        match by {
            EndedBy::Visitor => now + TOMBSTONE,
            EndedBy::Owner | EndedBy::Operator | EndedBy::MaxSessions => now,
        }
    }

    /// Sends one step to the store, and wakes the readers of a session that it has ended. `attempted` names
    /// the purpose in an error. Only the store's future owns the step, so the caller's future stays small.
    pub(super) fn send(
        &self,
        commit: Commit,
        attempted: &'static str,
        attempts: &mut Attempts<'_>,
    ) -> impl Future<Output = Result<Outcome, Error>> + Send {
        let step = observe::Step::begin(self.store.name(), &commit);
        let ending = commit.ending();
        let sent = self.store.commit(commit);
        async move {
            let outcome = attempts.within(sent).await.unwrap_or_else(|| Err(attempts.timed_out()));
            step.finish(&outcome);
            if let Some(key) = ending {
                self.wake_readers(&key, &outcome);
            }
            outcome.map_err(|cause| failed(attempted, cause))
        }
    }

    /// Wakes the readers of the session under `key` after a step that ends it. They load the session, so a
    /// step that may have been carried out wakes them as well.
    fn wake_readers(&self, key: &RecordKey, outcome: &Result<Outcome, StoreError>) {
        if !matches!(outcome, Ok(Outcome::Conflict(_) | Outcome::Exists)) {
            self.watched.wake(key);
        }
    }
}

/// Awaits a search for a session until the deadline.
async fn within<T>(
    attempts: &mut Attempts<'_>,
    search: impl Future<Output = Result<T, Error>> + Unpin,
) -> Result<T, Error> {
    let found = attempts.within(search).await;
    found.unwrap_or_else(|| Err(failed(FIND, attempts.timed_out())))
}

/// Stores the state of the record for the next leader, which leads once this lead is dropped.
fn pass_on(lead: &mut Option<Lead>, newest: Newest) {
    if let Some(lead) = lead {
        lead.newest = newest;
    }
}
