//! The checks that stop a run before it changes anything, and the removals that one of them counts.

use cloakroom::{
    clock::{Clock, SystemClock},
    store::{Commit, Cursor, Entry, Outcome, RecordKey, TOMBSTONE},
};
use futures_util::future::try_join_all;

use super::{BATCH, CopyResult, Endpoint, Migration, SyncState, plan::Decision};
use crate::{arguments::Migrate, failure::Failure, progress::Progress, sessions::counted};

/// One in so many sessions of the journal may be removed without `--allow-removals`.
const ALLOWED: usize = 10;

/// The number of sessions that were removed from the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Removed {
    /// Those that have ended in the source.
    pub(super) ended: u64,
    /// Those whose token was rotated in the source.
    pub(super) rotated: u64,
}

/// The sessions that have left the source before their deadline.
#[derive(Default)]
struct Removals {
    /// The sessions to end in the target, because its application has not used them.
    sessions: Vec<(RecordKey, SyncState)>,
    /// The number of sessions in the journal that are live.
    known: usize,
}

impl Migration<'_> {
    /// Stops a first run onto live sessions, because without a journal a session that has ended in the
    /// target looks like one that was never copied.
    pub(super) async fn check_target(&self, options: &Migrate) -> Result<(), Failure> {
        if options.onto_live_sessions || !self.journal.is_new() {
            return Ok(());
        }
        let live = self.live_in_target().await?;
        if live == 0 {
            return Ok(());
        }
        let [from, to] = self.endpoints.map(Endpoint::description);
        let sessions = counted(live, "live session");
        Err(Failure::failed(format!(
            "nothing was changed: {to} has {sessions}, and no journal of an earlier run \
             from {from}. Visitors who signed out there would be signed in again if {from} still \
             has their session. To continue anyway, run it again with --onto-live-sessions"
        )))
    }

    async fn live_in_target(&self) -> Result<usize, Failure> {
        let (mut live, mut next) = (0, Some(Cursor::default()));
        while let (Some(cursor), Some(to)) = (next, self.to.as_scan()) {
            let page = to.scan(cursor).await?;
            for keys in page.keys.chunks(BATCH) {
                let entries = try_join_all(keys.iter().map(|key| self.to.load(key))).await?;
                let is_live = |entry: &&Option<Entry>| matches!(entry, Some(Entry::Live(_)));
                live += entries.iter().filter(is_live).count();
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
    /// If they are more than a tenth of those in the journal and `--allow-removals` is not set, because
    /// the source may have been emptied.
    async fn removals(&self, options: &Migrate) -> Result<Removals, Failure> {
        let (mut removals, now) = (Removals::default(), SystemClock.now());
        for sessions in self.journal.all().chunks(BATCH) {
            let facts = sessions.iter().map(|(key, known)| self.facts(key, Some(*known)));
            for (facts, session) in try_join_all(facts).await?.into_iter().zip(sessions) {
                removals.known += usize::from(facts.is_live(now));
                let is_removed = matches!(facts.decide(now, false), Decision::Remove(_));
                removals.sessions.extend(is_removed.then_some(*session));
            }
        }
        let (removed, known) = (removals.sessions.len(), removals.known);
        if options.allow_removals || removed * ALLOWED <= known {
            return Ok(removals);
        }
        let [from, to] = self.endpoints.map(Endpoint::description);
        Err(Failure::failed(format!(
            "nothing was removed: {removed} of {known} sessions that earlier runs copied to {to} are \
             no longer in {from} and would end in {to} as well. If their visitors signed out, run \
             it again with --allow-removals. If {from} was emptied, it is the wrong source"
        )))
    }

    /// Ends the sessions in the target that have left the source before their deadline, except those
    /// that the target's application has used.
    pub(super) async fn remove_ended(
        &self,
        options: &Migrate,
        progress: &Progress,
    ) -> Result<Removed, Failure> {
        let mut removed = Removed::default();
        for (key, known) in self.removals(options).await?.sessions {
            if progress.stopped() {
                break;
            }
            // The target's application may have used the session since the first check.
            let (facts, now) = (self.facts(&key, Some(known)).await?, SystemClock.now());
            let Decision::Remove(left) = facts.decide(now, false) else { continue };
            let destroy = Commit::destroy(key, now + TOMBSTONE);
            let is_removed = matches!(self.to.commit(destroy).await?, Outcome::Done(_));
            *match left {
                CopyResult::Rotated => &mut removed.rotated,
                _ => &mut removed.ended,
            } += u64::from(is_removed);
        }
        Ok(removed)
    }
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
    use crate::{
        arguments::SharedDriver,
        migrate::{Journal, Version},
        setup::SharedStore,
    };

    const IDLE: Duration = Duration::from_hours(1);

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
    async fn write(store: &FileStore, key: RecordKey) -> Option<Version> {
        let record = Draft::new("values", SystemClock.now(), IDLE);
        let commit = match store.load(&key).await.unwrap() {
            Some(Entry::Live(stored)) => Commit::replace(key, stored.revision, record),
            _ => Commit::create(key, record),
        };
        store.commit(commit).await.unwrap();
        match store.load(&key).await.unwrap() {
            Some(Entry::Live(stored)) => Some(Version::of(&stored)),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_session_that_the_target_uses_before_its_removal_stays() {
        let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let [from, to] = folders.each_ref().map(|folder| FileStore::open(folder.path()).unwrap());
        let keys = [1, 2, 3].map(|byte| RecordKey::from_bytes([byte; 32]));
        let shared = [SharedStore::File(from.clone()), SharedStore::File(to.clone())];
        let endpoints = shared.each_ref().map(|shared| Endpoint::of(shared).unwrap());
        let mut journal = Journal::open(&endpoints[0], &endpoints[1]).await.unwrap();
        for key in keys {
            let (seen, copy) = (write(&from, key).await, write(&to, key).await);
            let synced = SyncState { from: seen, to: copy, is_intent: false };
            journal.note(&[(key, synced)]).await.unwrap();
            let tombstone = SystemClock.now() + TOMBSTONE;
            from.commit(Commit::destroy(key, tombstone)).await.unwrap();
        }
        let target = InUse { store: to.clone(), keys, removals: AtomicUsize::new(0) };
        let migration = Migration {
            from: &from,
            to: &target,
            endpoints: endpoints.each_ref(),
            keys: None,
            idle_timeout: IDLE,
            copy_expired: false,
            journal,
        };
        let options = Migrate {
            from: SharedDriver::File,
            to: SharedDriver::File,
            from_url: None,
            to_url: None,
            onto_live_sessions: false,
            allow_removals: true,
            copy_expired: false,
        };
        let progress = Progress::begin("copying", 3);
        assert_eq!(migration.remove_ended(&options, &progress).await.unwrap().ended, 1);
        let found = try_join_all(keys.iter().map(|key| to.load(key))).await.unwrap();
        let live = found.iter().filter(|found| matches!(found, Some(Entry::Live(_)))).count();
        assert_eq!(live, 2, "its application went on with them");
    }
}
