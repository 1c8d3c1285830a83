//! The checks that stop a run before it changes anything, and the removals that one of them counts.

use cloakroom::{
    clock::{Clock, SystemClock},
    store::{Commit, Cursor, Entry, Outcome, RecordKey, TOMBSTONE},
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
    sessions: Vec<(RecordKey, Synced)>,
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
        let (mut live, mut next) = (0, Some(Cursor::default()));
        while let (Some(place), Some(to)) = (next, self.to.as_scan()) {
            let page = to.scan(place).await?;
            for keys in page.keys.chunks(AT_A_TIME) {
                let found = try_join_all(keys.iter().map(|key| self.to.load(key))).await?;
                live += found.iter().filter(|found| matches!(found, Some(Entry::Live(_)))).count();
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
            for (look, session) in try_join_all(looks).await?.into_iter().zip(sessions) {
                removals.known += usize::from(look != Look::Over);
                removals.sessions.extend((look == Look::Remove).then_some(*session));
            }
        }
        let (removed, known) = (removals.sessions.len(), removals.known);
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
        if matches!(self.from.load(key).await?, Some(Entry::Live(_))) {
            return Ok(Look::Keep);
        }
        Ok(match self.to.load(key).await? {
            Some(Entry::Live(target))
                if synced.intended || synced.to == Some(Seen::of(&target)) =>
            {
                Look::Remove
            }
            Some(Entry::Live(_)) => Look::Keep,
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
        for (key, synced) in self.removals(options).await?.sessions {
            if progress.stopped() {
                break;
            }
            // It took a while to look at all of them.
            if self.look(&key, synced).await? != Look::Remove {
                continue;
            }
            let destroy = Commit::destroy(key, SystemClock.now() + TOMBSTONE);
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

#[cfg(all(test, unix))]
#[expect(clippy::unwrap_used, reason = "a test reports by panicking")]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use async_trait::async_trait;
    use cloakroom::{
        FileStore,
        store::{Draft, Store, StoreError},
    };

    use super::*;
    use crate::{arguments::SharedDriver, migrate::Journal, setup::SharedStore};

    const IDLE: Duration = Duration::from_secs(3_600);

    /// A target whose application uses all of its sessions at the first removal of one.
    #[derive(Debug)]
    struct InUse {
        store: FileStore,
        keys: [RecordKey; 3],
        removals: AtomicUsize,
    }

    #[async_trait]
    impl Store for InUse {
        async fn load(&self, key: &RecordKey) -> Result<Option<Entry>, StoreError> {
            self.store.load(key).await
        }

        async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
            let outcome = self.store.commit(commit).await;
            if self.removals.fetch_add(1, Ordering::Relaxed) == 0 {
                for key in self.keys {
                    write(&self.store, key).await;
                }
            }
            outcome
        }
    }

    /// Writes under a key that is free or has a record. Returns the record.
    async fn write(store: &FileStore, key: RecordKey) -> Option<Seen> {
        let record = Draft::new("values", SystemClock.now(), IDLE);
        let commit = match store.load(&key).await.unwrap() {
            Some(Entry::Live(stored)) => Commit::replace(key, stored.revision, record),
            _ => Commit::create(key, record),
        };
        store.commit(commit).await.unwrap();
        match store.load(&key).await.unwrap() {
            Some(Entry::Live(stored)) => Some(Seen::of(&stored)),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_session_that_the_target_uses_before_its_removal_stays() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [from, to] = folders.each_ref().map(|folder| FileStore::open(folder.path()).unwrap());
        let keys = [1, 2, 3].map(|byte| RecordKey::from_bytes([byte; 32]));
        let shared = [SharedStore::File(from.clone()), SharedStore::File(to.clone())];
        let sides = shared.each_ref().map(|shared| Side::of(shared).unwrap());
        let mut journal = Journal::open(&sides[0], &sides[1]).await.unwrap();
        for key in keys {
            let (seen, copy) = (write(&from, key).await, write(&to, key).await);
            let synced = Synced { from: seen, to: copy, intended: false };
            journal.note(&[(key, synced)]).await.unwrap();
            let tombstone = SystemClock.now() + TOMBSTONE;
            from.commit(Commit::destroy(key, tombstone)).await.unwrap();
        }
        let target = InUse { store: to.clone(), keys, removals: AtomicUsize::new(0) };
        let run = Run {
            from: &from,
            to: &target,
            sides: sides.each_ref(),
            idle_timeout: IDLE,
            copy_expired: false,
            journal,
        };
        let options = Migrate {
            from: SharedDriver::File,
            to: SharedDriver::File,
            onto_live_sessions: false,
            allow_removals: true,
            copy_expired: false,
        };
        let progress = Progress::begin("moving", 3);
        assert_eq!(run.remove_what_ended(&options, &progress).await.unwrap(), 1);
        let found = try_join_all(keys.iter().map(|key| to.load(key))).await.unwrap();
        let live = found.iter().filter(|found| matches!(found, Some(Entry::Live(_)))).count();
        assert_eq!(live, 2, "its application went on with them");
    }
}
