//! The checks that stop a run before it changes anything, and the removals that one of them counts.

use cloakroom::{
    clock::{Clock, SystemClock},
    store::{Commit, Found, Outcome, Place as StorePlace, RecordKey, TOMBSTONE},
};
use futures_util::future::try_join_all;

use super::{AT_A_TIME, Run, Seen, Side, Synced};
use crate::{arguments::Migrate, failure::Failure, progress::Progress};

/// At most this part of the sessions that the journal knows is removed without a question.
const UNASKED: usize = 10;

/// The sessions that have ended in the source before their time was up.
#[derive(Default)]
struct Removals {
    /// Those that are to end in the target, because its application has not used them.
    keys: Vec<RecordKey>,
    /// How many the journal knows that are not over.
    known: usize,
}

impl Run<'_> {
    /// Without a journal nothing tells a session that has ended in the target from one that never
    /// was there.
    pub(super) async fn check_target(&self, options: &Migrate) -> Result<(), Failure> {
        if options.onto_live_sessions || !self.journal.is_new() {
            return Ok(());
        }
        let live = self.live_in_target().await?;
        if live == 0 {
            return Ok(());
        }
        let [from, to] = self.sides.map(Side::shown);
        let sessions = if live == 1 { "session" } else { "sessions" };
        Err(Failure::failed(format!(
            "nothing was changed: {to} has {live} live {sessions}, and no journal of an earlier run \
             from {from}. Visitors who signed out there would be signed in again where {from} still \
             has their session. To go on all the same, run it again with --onto-live-sessions"
        )))
    }

    async fn live_in_target(&self) -> Result<usize, Failure> {
        let (mut live, mut next) = (0, Some(StorePlace::default()));
        while let (Some(place), Some(to)) = (next, self.to.enumerate()) {
            let page = to.keys_from(place).await?;
            for keys in page.keys.chunks(AT_A_TIME) {
                let found = try_join_all(keys.iter().map(|key| self.to.load(key))).await?;
                live += found.iter().filter(|found| matches!(found, Some(Found::Live(_)))).count();
            }
            next = page.next;
        }
        Ok(live)
    }

    pub(super) async fn check_removals(&self, options: &Migrate) -> Result<(), Failure> {
        self.removals(options).await.map(drop)
    }

    /// Finds the sessions to remove.
    ///
    /// # Errors
    /// If they are more than a tenth of those that the journal knows, without `--allow-removals`: the
    /// source may have been emptied.
    async fn removals(&self, options: &Migrate) -> Result<Removals, Failure> {
        let mut removals = Removals::default();
        for sessions in self.journal.all().chunks(AT_A_TIME) {
            let looks = sessions.iter().map(|(key, synced)| self.look(key, *synced));
            for (look, (key, _)) in try_join_all(looks).await?.into_iter().zip(sessions) {
                removals.known += usize::from(look != Look::Over);
                removals.keys.extend((look == Look::Remove).then_some(*key));
            }
        }
        let (removed, known) = (removals.keys.len(), removals.known);
        if options.allow_removals || removed * UNASKED <= known {
            return Ok(removals);
        }
        let [from, to] = self.sides.map(Side::shown);
        Err(Failure::failed(format!(
            "nothing was removed: {removed} of {known} sessions that earlier runs brought to {to} are \
             not in {from} any more and would end in {to} as well. If they were signed out there, run \
             it again with --allow-removals; if {from} was emptied, it is not the source to take"
        )))
    }

    async fn look(&self, key: &RecordKey, synced: Synced) -> Result<Look, Failure> {
        if synced.from.is_none_or(|from| from.expires <= SystemClock.now()) {
            return Ok(Look::Over);
        }
        if matches!(self.from.load(key).await?, Some(Found::Live(_))) {
            return Ok(Look::Keep);
        }
        Ok(match self.to.load(key).await? {
            Some(Found::Live(target))
                if synced.intended || synced.to == Some(Seen::of(&target)) =>
            {
                Look::Remove
            }
            Some(Found::Live(_)) => Look::Keep,
            _ => Look::Over,
        })
    }

    /// A session that has ended in the source since, before its time was up, ends in the target,
    /// unless the target's application has used it.
    pub(super) async fn remove_what_ended(
        &self,
        options: &Migrate,
        progress: &Progress,
    ) -> Result<u64, Failure> {
        let mut removed = 0;
        for key in self.removals(options).await?.keys {
            if progress.stopped() {
                break;
            }
            let destroy = Commit::Destroy { key, tombstone: SystemClock.now() + TOMBSTONE };
            removed += u64::from(matches!(self.to.commit(destroy).await?, Outcome::Done(_)));
        }
        Ok(removed)
    }
}

/// The state of a session that the journal knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// Its time is up, or it has ended in both stores.
    Over,
    Keep,
    Remove,
}
