//! The limit of an owner's sessions.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use crate::{
    backend::{
        Backend,
        context::Context,
        events::EndedBy,
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

/// The current sign-ins of this process.
#[derive(Debug, Default)]
pub(crate) struct SignIns {
    under_way: Mutex<HashMap<OwnerKey, Overlaps>>,
    counting: Mutex<HashMap<OwnerKey, Weak<Counting>>>,
}

/// The current sign-ins of one owner. Each has a list of the sign-ins that ended during it.
type Overlaps = HashMap<SessionId, Vec<SessionId>>;

/// The number of keys that are followed before the live sessions are compared with the limit.
const KEYS_AT_A_TIME: usize = 1024;

/// Held while an owner's sessions are counted and ended. Without it, two sign-ins could count the same
/// surplus and end it twice.
type Counting = tokio::sync::Mutex<()>;

/// A sign-in. It lasts from before its commit until the owner's other sessions have been counted.
pub(crate) struct SignIn<'s> {
    all: &'s SignIns,
    owner: OwnerKey,
    id: SessionId,
}

impl SignIns {
    fn lock(&self) -> MutexGuard<'_, HashMap<OwnerKey, Overlaps>> {
        // A poisoned lock is safe to use, because each critical section makes one complete change.
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a sign-in, before the commit that gives a session this owner.
    pub(crate) fn begin(&self, owner: &Owner) -> SignIn<'_> {
        let (key, id) = (owner.key(), owner.id);
        self.lock().entry(key).or_default().insert(id, Vec::new());
        SignIn { all: self, owner: key, id }
    }

    /// Returns the owner's lock. It exists as long as a sign-in holds it or waits for it.
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
        let Some(theirs) = under_way.get_mut(&self.owner) else { return };
        theirs.remove(&self.id);
        for overlapping in theirs.values_mut() {
            overlapping.push(self.id);
        }
        if theirs.is_empty() {
            under_way.remove(&self.owner);
        }
    }
}

impl SignIn<'_> {
    /// Ends the owner's sessions beyond `max_sessions` after this one is committed (OWASP ASVS 5.0,
    /// 7.1.2). Ends those that were unused longest.
    ///
    /// `owner` is the owner in the committed record. The sign-in itself has succeeded, so an error is
    /// logged as a warning. The next sign-in of the owner ends the remaining surplus.
    pub(crate) async fn end_surplus(self, owner: Owner, backend: &Backend, context: &Context) {
        let lookup = Lookup::new(backend, context, "count an owner's sessions");
        let (Some(limit), Ok(lookup)) = (context.max_sessions(), lookup) else { return };
        let Ok(index) = lookup.index() else { return };
        let work = Box::pin(self.end_beyond(limit.get(), &owner, index, lookup));
        match within_deadline(work, context).await {
            Ok(0) => (),
            Ok(ended) => observe::surplus_ended(ended, limit.get()),
            Err(error) => observe::surplus_stays(&error),
        }
    }

    async fn end_beyond(
        &self,
        limit: usize,
        owner: &Owner,
        index: &dyn OwnerIndex,
        lookup: Lookup<'_>,
    ) -> Result<usize, Error> {
        let key = owner.key();
        if keys_of(index, &key).await?.len() <= limit {
            return Ok(0);
        }
        let counting = self.all.counting(&key);
        let _turn = counting.lock().await;
        let keys = keys_of(index, &key).await?;
        let theirs = live_among(&keys, &key, limit, lookup).await?;
        let surplus = theirs.len().saturating_sub(limit);
        let mut ended = 0;
        for (key, id) in self.unused_longest(owner, theirs, surplus, lookup.lifetimes()) {
            ended += usize::from(lookup.end_owned(key, id, EndedBy::MaxSessions).await?);
        }
        Ok(ended)
    }

    /// Chooses the sessions that this sign-in ends, among the `surplus` sessions that were unused
    /// longest. A session that has to stay is not replaced by another one, because another process may
    /// end it.
    ///
    /// Concurrent sign-ins do not end each other. A sign-in of a later moment stays, and so does one
    /// that overlaps with this one in this process. Only if two processes sign an owner in within the
    /// same millisecond, each may end the other's session.
    fn unused_longest(
        &self,
        own: &Owner,
        theirs: Vec<LiveRecord>,
        surplus: usize,
        lifetimes: &Lifetimes,
    ) -> Vec<(RecordKey, SessionId)> {
        let mut others: Vec<_> = theirs
            .into_iter()
            .filter_map(|LiveRecord { key, stored, record }| {
                let Owner { since, id, .. } = *record.owner.as_ref()?;
                // The deadline shows the last use only to a tenth of the idle timeout.
                let used = lifetimes.last_used(&record, stored.expires).max(since);
                (id != own.id).then_some((used, since, id, key))
            })
            .collect();
        others.sort_unstable_by_key(|(used, since, id, _)| (*used, *since, *id));
        others.truncate(surplus);
        let under_way = self.all.lock();
        let theirs = under_way.get(&self.owner);
        let overlaps = |id: &SessionId| {
            theirs.is_some_and(|theirs| {
                theirs.contains_key(id)
                    || theirs.get(&self.id).is_some_and(|ended| ended.contains(id))
            })
        };
        others.retain(|(_, since, id, _)| *since <= own.since && !overlaps(id));
        others.into_iter().map(|(.., id, key)| (key, id)).collect()
    }
}

/// Returns all keys that the index has for an owner.
async fn keys_of(index: &dyn OwnerIndex, owner: &OwnerKey) -> Result<Vec<RecordKey>, Error> {
    let keys = all_keys_of(index, owner).await;
    keys.map_err(|cause| failed("count an owner's sessions", cause))
}

/// Loads the live sessions of an owner under these keys. Stops soon after `limit`, so that several
/// sign-ins share the work when a limit is new.
async fn live_among(
    keys: &[RecordKey],
    owner: &OwnerKey,
    limit: usize,
    lookup: Lookup<'_>,
) -> Result<Vec<LiveRecord>, Error> {
    let mut theirs = Vec::new();
    for keys in keys.chunks(KEYS_AT_A_TIME) {
        theirs.extend(lookup.of_owner_among(owner, keys).await?.live);
        if theirs.len() > limit.saturating_add(KEYS_AT_A_TIME) {
            break;
        }
    }
    Ok(unique(theirs))
}

#[cfg(test)]
mod tests {
    use cloakroom_store::clock::Timestamp;

    use super::*;

    fn owner(name: &str) -> Owner {
        Owner::new(name, Timestamp::from_millis(0), [0; 2])
    }

    #[test]
    fn a_sign_in_remembers_those_of_its_owner_alone() {
        let sign_ins = SignIns::default();
        let overlapping = |owner: &Owner| sign_ins.lock()[&owner.key()][&owner.id].len();
        let (virk, eve) = (owner("virk"), owner("eve"));
        let [slow, other] = [&virk, &eve].map(|owner| sign_ins.begin(owner));
        for _ in 0..3 {
            drop(sign_ins.begin(&owner("virk")));
            drop(sign_ins.begin(&owner("guest")));
        }
        assert_eq!((overlapping(&virk), overlapping(&eve)), (3, 0));
        drop((slow, other));
        assert!(sign_ins.lock().is_empty());
    }
}
