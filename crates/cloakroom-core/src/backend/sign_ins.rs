//! How many sessions an owner may have at once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{
    backend::{
        Backend,
        context::Context,
        lookup::{LiveRecord, Lookup, unique},
        store::{failed, within_deadline},
    },
    error::Error,
    observe,
    record::{
        lifetimes::Lifetimes,
        owner::{Owner, SessionId},
    },
};
use cloakroom_store::{OwnerIndex, OwnerKey, RecordKey, all_keys_of};

/// The sign-ins that are under way in this process, each with those that ended in the meantime.
#[derive(Debug, Default)]
pub(crate) struct SignIns {
    under_way: Mutex<HashMap<SessionId, Vec<SessionId>>>,
    counting: Mutex<HashMap<OwnerKey, Weak<Counting>>>,
}

/// How many keys are followed before the count of live sessions is compared with the limit.
const KEYS_AT_A_TIME: usize = 1024;

/// Held while an owner's sessions are counted and ended, because two that count the same surplus at
/// once could both end that many.
type Counting = tokio::sync::Mutex<()>;

/// A sign-in, from before its commit until the owner's other sessions have been counted.
pub(crate) struct SignIn<'s> {
    all: &'s SignIns,
    owner: Owner,
}

impl SignIns {
    fn lock(&self) -> MutexGuard<'_, HashMap<SessionId, Vec<SessionId>>> {
        // No critical section leaves anything half done.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a sign-in: the commit that gives a session this owner.
    pub(crate) fn begin(&self, owner: Owner) -> SignIn<'_> {
        self.lock().insert(owner.id, Vec::new());
        SignIn { all: self, owner }
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
        let mut under_way = self.all.lock();
        under_way.remove(&self.owner.id);
        under_way.values_mut().for_each(|met| met.push(self.owner.id));
    }
}

impl SignIn<'_> {
    /// Ends the sessions that the owner has beyond `max_sessions` now that this one is committed
    /// (OWASP ASVS 5.0, 7.1.2): those that were not used for the longest time.
    ///
    /// The sign-in itself has succeeded, so a failure is a warning. The next sign-in of the owner
    /// makes up for it.
    pub(crate) async fn end_surplus(self, backend: &Backend, context: &Context) {
        let lookup = Lookup::new(backend, context, "count an owner's sessions");
        let (Some(limit), Ok(lookup)) = (context.max_sessions(), lookup) else { return };
        let Ok(index) = lookup.index() else { return };
        let work = Box::pin(self.end_beyond(limit.get(), index, lookup));
        match within_deadline(work, context).await {
            Ok(0) => (),
            Ok(ended) => observe::surplus_ended(ended, limit.get()),
            Err(error) => observe::surplus_stays(&error),
        }
    }

    async fn end_beyond(
        &self,
        limit: usize,
        index: &dyn OwnerIndex,
        lookup: Lookup<'_>,
    ) -> Result<usize, Error> {
        let owner = self.owner.key();
        if keys_of(index, &owner).await?.len() <= limit {
            return Ok(0);
        }
        let counting = self.all.counting(&owner);
        let _turn = counting.lock().await;
        let keys = keys_of(index, &owner).await?;
        let theirs = live_among(&keys, &owner, limit, lookup).await?;
        let surplus = theirs.len().saturating_sub(limit);
        let mut ended = 0;
        for (key, id) in self.unused_longest(theirs, surplus, lookup.lifetimes()) {
            ended += usize::from(lookup.end_owned(key, id).await?);
        }
        Ok(ended)
    }

    /// The sessions that are ended for this one: of the `surplus` that were not used for the longest
    /// time, those that may go. No others take the place of those that stay, because another process
    /// may end these.
    ///
    /// Of sign-ins at the same time none ends another: those of later moments stay, and in this
    /// process those that were under way together with this one. Only two processes that sign an
    /// owner in within one millisecond cannot tell which of the two was first.
    fn unused_longest(
        &self,
        theirs: Vec<LiveRecord>,
        surplus: usize,
        lifetimes: &Lifetimes,
    ) -> Vec<(RecordKey, SessionId)> {
        let mut others: Vec<_> = theirs
            .into_iter()
            .filter_map(|LiveRecord { key, stored, record }| {
                let Owner { since, id, .. } = *record.owner.as_ref()?;
                // The deadline tells the last use to a tenth of the idle timeout only.
                let used = lifetimes.last_used(&record, stored.expires).max(since);
                (id != self.owner.id).then_some((used, since, id, key))
            })
            .collect();
        others.sort_unstable_by_key(|(used, since, id, _)| (*used, *since, *id));
        others.truncate(surplus);
        let under_way = self.all.lock();
        let met = under_way.get(&self.owner.id);
        let may_go =
            |id: &SessionId| !under_way.contains_key(id) && met.is_none_or(|met| !met.contains(id));
        others.retain(|(_, since, id, _)| *since <= self.owner.since && may_go(id));
        others.into_iter().map(|(.., id, key)| (key, id)).collect()
    }
}

/// The keys that the index has for an owner.
async fn keys_of(index: &dyn OwnerIndex, owner: &OwnerKey) -> Result<Vec<RecordKey>, Error> {
    let keys = all_keys_of(index, owner).await;
    keys.map_err(|cause| failed("count an owner's sessions", cause))
}

/// The live sessions that these keys lead to, but not many more than `limit`: where a limit is
/// new, several sign-ins share the work.
async fn live_among(
    keys: &[RecordKey],
    owner: &OwnerKey,
    limit: usize,
    lookup: Lookup<'_>,
) -> Result<Vec<LiveRecord>, Error> {
    let mut theirs = Vec::new();
    for keys in keys.chunks(KEYS_AT_A_TIME) {
        theirs.extend(lookup.of_owner_among(owner, keys).await?);
        if theirs.len() > limit.saturating_add(KEYS_AT_A_TIME) {
            break;
        }
    }
    Ok(unique(theirs))
}
