//! How many sessions an owner may have at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{
    Error, Sessions,
    backend::{
        Backend,
        store::{failed, within_deadline},
    },
    observe,
    owner::{Owner, OwnerKey, SessionId},
    reach::{Reached, unique},
    store::{Directory, NAMES, RecordKey, all_keys_of},
};

/// The sign-ins that are under way in this process, each with those that ended in the meantime.
#[derive(Debug, Default)]
pub(crate) struct SignIns {
    under_way: Mutex<HashMap<SessionId, Vec<SessionId>>>,
    counting: Mutex<HashMap<OwnerKey, Weak<Counting>>>,
}

/// Held while an owner's sessions are counted and ended, because two that count the same surplus at
/// once could both end that many.
type Counting = tokio::sync::Mutex<()>;

/// A sign-in, from before its commit until the owner's other sessions have been counted.
pub(crate) struct SignIn<'s> {
    sessions: &'s Sessions,
    owner: Owner,
}

impl SignIns {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Vec<SessionId>>> {
        // No critical section leaves anything half done.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the owner's lock, which lasts as long as somebody holds it or waits for it.
    fn counting(&self, owner: &OwnerKey) -> Arc<Counting> {
        let mut all = self.counting.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(owner).and_then(Weak::upgrade).unwrap_or_else(|| {
            all.retain(|_, lock| lock.strong_count() > 0);
            let lock = Arc::default();
            all.insert(*owner, Arc::downgrade(&lock));
            lock
        })
    }
}

impl Drop for SignIn<'_> {
    fn drop(&mut self) {
        let mut under_way = self.sessions.sign_ins().lock();
        under_way.remove(&self.owner.id);
        under_way.values_mut().for_each(|met| met.push(self.owner.id));
    }
}

impl Sessions {
    /// Begins a sign-in: the commit that gives a session this owner.
    pub(crate) fn begin_sign_in(&self, owner: Owner) -> SignIn<'_> {
        self.sign_ins().lock().insert(owner.id, Vec::new());
        SignIn { sessions: self, owner }
    }
}

impl SignIn<'_> {
    /// Ends the sessions that the owner has beyond `max_sessions` now that this one is committed
    /// (OWASP ASVS 5.0, 7.1.2): those that were not used for the longest time.
    ///
    /// The sign-in itself has succeeded, so a failure is a warning. The next sign-in of the owner
    /// makes up for it.
    pub(crate) async fn end_surplus(self) {
        let context = self.sessions.context();
        let (Some(limit), Backend::Store(backend)) =
            (context.max_sessions(), self.sessions.backend())
        else {
            return;
        };
        let Some(index) = backend.store().directory() else { return };
        let work = Box::pin(self.end_beyond(limit.get(), index));
        match within_deadline(work, context).await {
            Ok(0) => (),
            Ok(ended) => observe::surplus_ended(ended, limit.get()),
            Err(error) => observe::surplus_stays(&error),
        }
    }

    async fn end_beyond(&self, limit: usize, index: &dyn Directory) -> Result<usize, Error> {
        let owner = self.owner.key();
        if keys_of(index, &owner).await?.len() <= limit {
            return Ok(0);
        }
        let counting = self.sessions.sign_ins().counting(&owner);
        let _turn = counting.lock().await;
        let keys = keys_of(index, &owner).await?;
        let theirs = self.live_among(&keys, &owner, limit).await?;
        let surplus = theirs.len().saturating_sub(limit);
        let mut ended = 0;
        for (key, id) in self.unused_longest(theirs, surplus) {
            ended += usize::from(self.sessions.end_owned(key, id).await?);
        }
        Ok(ended)
    }

    /// The live sessions that these keys lead to, but not many more than `limit`: where a limit is
    /// new, several sign-ins share the work.
    async fn live_among(
        &self,
        keys: &[RecordKey],
        owner: &OwnerKey,
        limit: usize,
    ) -> Result<Vec<Reached>, Error> {
        let mut theirs = Vec::new();
        for keys in keys.chunks(NAMES) {
            theirs.extend(self.sessions.reach_owned_by(owner, keys).await?);
            if theirs.len() > limit.saturating_add(NAMES) {
                break;
            }
        }
        Ok(unique(theirs))
    }

    /// The sessions that are ended for this one: of the `surplus` that were not used for the longest
    /// time, those that may go. No others take the place of those that stay, because another process
    /// may end these.
    ///
    /// Of sign-ins at the same time none ends another: those of later moments stay, and in this
    /// process those that were under way together with this one. Only two processes that sign an
    /// owner in within one millisecond cannot tell which of the two was first.
    fn unused_longest(&self, theirs: Vec<Reached>, surplus: usize) -> Vec<(RecordKey, SessionId)> {
        let lifetimes = self.sessions.context().lifetimes();
        let mut others: Vec<_> = theirs
            .into_iter()
            .filter_map(|Reached { key, stored, record }| {
                let Owner { since, id, .. } = *record.owner.as_ref()?;
                // The deadline tells the last use to a tenth of the idle timeout only.
                let used = lifetimes.last_used(&record, stored.expires).max(since);
                (id != self.owner.id).then_some((used, since, id, key))
            })
            .collect();
        others.sort_unstable_by_key(|(used, since, id, _)| (*used, *since, *id));
        others.truncate(surplus);
        let under_way = self.sessions.sign_ins().lock();
        let met = under_way.get(&self.owner.id);
        let may_go =
            |id: &SessionId| !under_way.contains_key(id) && met.is_none_or(|met| !met.contains(id));
        others.retain(|(_, since, id, _)| *since <= self.owner.since && may_go(id));
        others.into_iter().map(|(.., id, key)| (key, id)).collect()
    }
}

/// The keys that the index has for an owner.
async fn keys_of(index: &dyn Directory, owner: &OwnerKey) -> Result<Vec<RecordKey>, Error> {
    let keys = all_keys_of(index, owner).await;
    keys.map_err(|cause| failed("count an owner's sessions", cause))
}
