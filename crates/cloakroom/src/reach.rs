//! Sessions reached from outside their requests, by handle.

use std::{collections::HashSet, fmt};

use futures_util::future::try_join_all;

use crate::{
    Error, Session, Sessions,
    driver::{Driver, is_revoked},
    error::Kind,
    lifetimes::is_live,
    owner::{Handle, Owner},
    record::Record,
    store::{Directory, Enumerate, Found, OwnerKey, RecordKey, Store, StoreError, Stored},
};

/// So many records are loaded at a time.
pub(crate) const BATCH: usize = 32;
/// How often a session that is changed or regenerated at that very moment is looked up again.
pub(crate) const ATTEMPTS: u32 = 64;

/// What a handle names.
enum Named {
    /// A session of an owner, whatever its token is by then.
    Owned(Handle),
    /// A session by its record key.
    Kept(RecordKey),
}

impl Named {
    fn parse(handle: &str) -> Option<Self> {
        RecordKey::parse(handle).map(Self::Kept).or_else(|| Handle::parse(handle).map(Self::Owned))
    }
}

/// A live record, and where it is.
pub(crate) struct Reached {
    pub(crate) key: RecordKey,
    pub(crate) stored: Stored,
    pub(crate) record: Record,
}

impl Session {
    /// What [`Sessions::edit`] and the command line tool find this session by, from its commit on;
    /// nothing on the cookie driver. It signs nobody in.
    ///
    /// Of a session with an owner it stays the same as long as the session lives. Of others it leads
    /// to the session until it is regenerated. One that ended before or during this request has none,
    /// whatever became of its key, nor has a visitor for whom nothing was put.
    pub fn handle(&self) -> Option<String> {
        let in_store = matches!(self.sessions().engine().driver(), Driver::Store(_));
        (in_store && !self.is_over()).then(|| name(self.owned().as_ref(), self.record_key()))
    }
}

/// What names a session of this owner, if it has one, under this key.
pub(crate) fn name(owner: Option<&Owner>, key: RecordKey) -> String {
    owner.map_or_else(|| key.to_string(), |owner| owner.handle().to_string())
}

impl Sessions {
    pub(crate) fn backend(&self, attempted: &'static str) -> Result<&dyn Store, Error> {
        match self.engine().driver() {
            Driver::Store(store) => Ok(&**store),
            driver @ Driver::Cookie(_) => {
                Err(Kind::Unsupported { attempted, driver: driver.name() }.into())
            }
        }
    }

    pub(crate) fn enumerable(&self, attempted: &'static str) -> Result<&dyn Enumerate, Error> {
        let store = self.backend(attempted)?;
        let driver = store.name();
        store.enumerate().ok_or_else(|| Kind::Unsupported { attempted, driver }.into())
    }

    /// The store's index of owners.
    pub(crate) fn index(&self, attempted: &'static str) -> Result<&dyn Directory, Error> {
        let store = self.backend(attempted)?;
        let driver = store.name();
        store.directory().ok_or_else(|| Kind::Unsupported { attempted, driver }.into())
    }

    /// The live session that `handle` names.
    pub(crate) async fn reach(&self, handle: &str) -> Result<Option<Reached>, Error> {
        match Named::parse(handle) {
            None => Ok(None),
            Some(Named::Kept(key)) => self.reach_key(key).await,
            Some(Named::Owned(handle)) => self.reach_owned(handle).await,
        }
    }

    /// The same to end it, which goes after a session that was regenerated meanwhile.
    pub(crate) async fn reach_to_end(&self, handle: &str) -> Result<Option<Reached>, Error> {
        match Named::parse(handle) {
            Some(Named::Kept(key)) => self.reach_successor(key).await,
            _ => self.reach(handle).await,
        }
    }

    async fn reach_owned(&self, handle: Handle) -> Result<Option<Reached>, Error> {
        // Nobody's sessions are named so where there is no index of owners.
        if self.backend("find a session")?.directory().is_none() {
            return Ok(None);
        }
        let theirs = self.reach_all_of(&handle.owner).await?;
        let is_named =
            |it: &Reached| it.record.owner.as_ref().is_some_and(|owner| owner.handle() == handle);
        Ok(theirs.into_iter().find(is_named))
    }

    /// The live sessions of an owner. The index may name too much, or a key of before: the record has
    /// the last word.
    pub(crate) async fn reach_all_of(&self, owner: &OwnerKey) -> Result<Vec<Reached>, Error> {
        let attempted = "list an owner's sessions";
        let keys = self.index(attempted)?.keys_of(owner).await;
        let keys = keys.map_err(|cause| failed(attempted, cause))?;
        let mut theirs = Vec::new();
        for batch in keys.chunks(BATCH) {
            let reached = batch.iter().map(|key| self.reach_successor(*key));
            theirs.extend(try_join_all(reached).await?.into_iter().flatten());
        }
        // A key and the one that follows it may both lead to one session.
        let mut seen = HashSet::new();
        let is_theirs = |it: &Reached| it.record.owner.as_ref().map(Owner::key) == Some(*owner);
        theirs.retain(|it| is_theirs(it) && seen.insert(it.key));
        Ok(theirs)
    }

    /// The live session under `key`, and none that a tombstone leads on to: a key of before a login
    /// does not lead into it.
    pub(crate) async fn reach_key(&self, key: RecordKey) -> Result<Option<Reached>, Error> {
        let attempted = "find a session";
        let found = self.backend(attempted)?.load(&key).await;
        match found.map_err(|cause| failed(attempted, cause))? {
            Some(Found::Live(stored)) => self.reached(key, stored).await,
            Some(Found::Tombstone { .. }) | None => Ok(None),
        }
    }

    /// The live session that `key` leads to, over the tombstones of regenerations.
    pub(crate) async fn reach_successor(&self, key: RecordKey) -> Result<Option<Reached>, Error> {
        let attempted = "find a session";
        let found = follow(self.backend(attempted)?, key).await;
        match found.map_err(|cause| failed(attempted, cause))? {
            Some((key, stored)) => self.reached(key, stored).await,
            None => Ok(None),
        }
    }

    /// A record, if a request would take it for a session.
    async fn reached(&self, key: RecordKey, stored: Stored) -> Result<Option<Reached>, Error> {
        let Some(record) = Record::decode(&stored.record) else { return Ok(None) };
        let lives = is_live(&record, stored.expires, self.engine().now())
            && !is_revoked(&record, self.engine()).await?;
        Ok(lives.then_some(Reached { key, stored, record }))
    }
}

/// The live record that `key` leads to, over the tombstones of regenerations.
pub(crate) async fn follow(
    store: &dyn Store,
    mut key: RecordKey,
) -> Result<Option<(RecordKey, Stored)>, StoreError> {
    for _ in 0..ATTEMPTS {
        match store.load(&key).await? {
            Some(Found::Live(stored)) => return Ok(Some((key, stored))),
            Some(Found::Tombstone { successor: Some(successor), .. }) => key = successor,
            Some(Found::Tombstone { successor: None, .. }) | None => return Ok(None),
        }
    }
    Ok(None)
}

pub(crate) fn failed(attempted: &'static str, cause: StoreError) -> Error {
    Kind::Store { attempted, cause }.into()
}

/// Shows where it is, not what is in it.
impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reached").field("key", &self.key).finish_non_exhaustive()
    }
}
