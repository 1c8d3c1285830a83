//! Sessions reached from outside their requests, by handle.

use std::{collections::HashSet, fmt};

use futures_util::future::try_join_all;

use crate::{
    backend::{
        Backend,
        context::Context,
        is_revoked, read_live,
        store::{Burial, StoreBackend, failed, load_following_rotations},
    },
    error::{Error, Kind},
    record::{
        Record,
        lifetimes::Lifetimes,
        owner::{Handle, Owner, SessionId},
    },
};
use cloakroom_store::{
    Cursor, Entry, KeyPage, OwnerIndex, OwnerKey, RecordKey, Scan, Store, StoredRecord,
};

/// So many records are loaded at a time.
pub(crate) const BATCH: usize = 32;
/// So many sessions of an owner are on a page, or a few more.
const PAGE: usize = 128;
/// So many entries of an owner's index one page looks at, or a few more.
const LOOKED_AT: usize = 1024;

/// What a handle names.
enum ParsedHandle {
    /// A session of an owner, whatever its token is by then.
    Owned(Handle),
    /// A session by its record key.
    Kept(RecordKey),
}

impl ParsedHandle {
    fn parse(handle: &str) -> Option<Self> {
        RecordKey::parse(handle).map(Self::Kept).or_else(|| Handle::parse(handle).map(Self::Owned))
    }
}

/// A live record, and where it is.
pub(crate) struct LiveRecord {
    pub(crate) key: RecordKey,
    pub(crate) stored: StoredRecord,
    pub(crate) record: Record,
}

/// What names a session of this owner, if it has one, under this key.
pub(crate) fn name(owner: Option<&Owner>, key: RecordKey) -> String {
    owner.map_or_else(|| key.to_string(), |owner| owner.handle().to_string())
}

/// Finds the live sessions of a store.
#[derive(Clone, Copy)]
pub(crate) struct Lookup<'a> {
    backend: &'a StoreBackend,
    context: &'a Context,
}

impl<'a> Lookup<'a> {
    /// Makes a lookup. `attempted` says in an error what it is for.
    ///
    /// # Errors
    /// On the cookie driver, whose sessions are with their visitors.
    pub(crate) fn new(
        backend: &'a Backend,
        context: &'a Context,
        attempted: &'static str,
    ) -> Result<Self, Error> {
        match backend {
            Backend::Store(backend) => Ok(Self { backend, context }),
            Backend::Cookie(_) => {
                Err(Kind::Unsupported { attempted, driver: backend.name() }.into())
            }
        }
    }

    pub(crate) fn lifetimes(&self) -> &'a Lifetimes {
        self.context.lifetimes()
    }

    fn store(&self) -> &'a dyn Store {
        self.backend.store()
    }

    /// Ends the session whose key `find` returns, and finds it again if it is regenerated in between.
    /// Returns whether there was one.
    pub(crate) async fn destroy<F, L>(&self, find: F) -> Result<bool, Error>
    where
        F: Fn() -> L + Send,
        L: Future<Output = Result<Option<RecordKey>, Error>> + Send,
    {
        self.backend.committer(self.context).destroy(Burial::Forgotten, find).await
    }

    /// Returns the store as one that goes through all its records.
    pub(crate) fn scan(&self, attempted: &'static str) -> Result<&'a dyn Scan, Error> {
        let (store, driver) = (self.store(), self.store().name());
        store.as_scan().ok_or_else(|| Kind::Unsupported { attempted, driver }.into())
    }

    /// Returns the store's index of owners.
    pub(crate) fn index(&self, attempted: &'static str) -> Result<&'a dyn OwnerIndex, Error> {
        let (store, driver) = (self.store(), self.store().name());
        store.as_owner_index().ok_or_else(|| Kind::Unsupported { attempted, driver }.into())
    }

    /// The live session that `handle` names.
    pub(crate) async fn by_handle(&self, handle: &str) -> Result<Option<LiveRecord>, Error> {
        match ParsedHandle::parse(handle) {
            None => Ok(None),
            Some(ParsedHandle::Kept(key)) => self.by_key(key).await,
            Some(ParsedHandle::Owned(handle)) => self.by_owned_handle(handle).await,
        }
    }

    /// The same to end it, which goes after a session that was regenerated meanwhile.
    pub(crate) async fn by_handle_following_rotations(
        &self,
        handle: &str,
    ) -> Result<Option<LiveRecord>, Error> {
        match ParsedHandle::parse(handle) {
            Some(ParsedHandle::Kept(key)) => self.find_following_rotations(key).await,
            _ => self.by_handle(handle).await,
        }
    }

    pub(crate) async fn by_owned_handle(
        &self,
        handle: Handle,
    ) -> Result<Option<LiveRecord>, Error> {
        let attempted = "find a session";
        let Some(index) = self.store().as_owner_index() else {
            // Nobody's sessions are named so where there is no index of owners.
            return Ok(None);
        };
        let keys = index.keys_with_tag(&handle.owner, handle.id.tag()).await;
        let keys = keys.map_err(|cause| failed(attempted, cause))?;
        let theirs = self.of_owner_among(&handle.owner, &keys).await?;
        let is_named = |found: &LiveRecord| {
            found.record.owner.as_ref().is_some_and(|owner| owner.handle() == handle)
        };
        Ok(theirs.into_iter().find(is_named))
    }

    /// Loads live sessions of an owner from the place `from` on: [`PAGE`] or more, unless these are
    /// the last or there are few of them among the next [`LOOKED_AT`] entries.
    pub(crate) async fn page_of(
        &self,
        owner: &OwnerKey,
        mut from: Cursor,
    ) -> Result<(Vec<LiveRecord>, Option<Cursor>), Error> {
        let attempted = "list an owner's sessions";
        let index = self.index(attempted)?;
        let (mut theirs, mut looked_at) = (Vec::new(), 0);
        loop {
            let page = index.keys_of(owner, from, PAGE).await;
            let KeyPage { keys, next, seen, .. } =
                page.map_err(|cause| failed(attempted, cause))?;
            theirs.extend(self.of_owner_among(owner, &keys).await?);
            // A step that names nothing has cost one as well.
            looked_at += seen.max(1);
            match next {
                Some(next) if theirs.len() < PAGE && looked_at < LOOKED_AT => from = next,
                next => return Ok((unique(theirs), next)),
            }
        }
    }

    /// Loads the live sessions that these keys of an owner lead to. An index may name too much, or a
    /// key of before: the record has the last word.
    pub(crate) async fn of_owner_among(
        &self,
        owner: &OwnerKey,
        keys: &[RecordKey],
    ) -> Result<Vec<LiveRecord>, Error> {
        let mut theirs = Vec::new();
        for batch in keys.chunks(BATCH) {
            let reached = batch.iter().map(|key| self.find_following_rotations(*key));
            theirs.extend(try_join_all(reached).await?.into_iter().flatten());
        }
        theirs.retain(|found| found.record.owner.as_ref().map(Owner::key) == Some(*owner));
        Ok(unique(theirs))
    }

    /// The live session under `key`, and none that a tombstone leads on to: a key of before a login
    /// does not lead into it.
    pub(crate) async fn by_key(&self, key: RecordKey) -> Result<Option<LiveRecord>, Error> {
        let attempted = "find a session";
        let found = self.store().load(&key).await;
        match found.map_err(|cause| failed(attempted, cause))? {
            Some(Entry::Live(stored)) => self.read(key, stored).await,
            Some(Entry::Tombstone { .. }) | None => Ok(None),
        }
    }

    /// The live session that `key` leads to, over the tombstones of regenerations.
    pub(crate) async fn find_following_rotations(
        &self,
        key: RecordKey,
    ) -> Result<Option<LiveRecord>, Error> {
        let store = self.store();
        match load_following_rotations(store, key).await? {
            Some((key, stored)) => self.read(key, stored).await,
            None => Ok(None),
        }
    }

    /// Ends the session that was found under `key` with this id, unless it is another owner's by now.
    /// Follows it if it is regenerated in between. Returns whether it was there.
    pub(crate) async fn end_owned(&self, key: RecordKey, id: SessionId) -> Result<bool, Error> {
        let find = || async move {
            let moved = self.find_following_rotations(key).await?;
            let is_it = |found: &LiveRecord| {
                found.record.owner.as_ref().is_some_and(|owner| owner.id == id)
            };
            Ok(moved.filter(is_it).map(|reached| reached.key))
        };
        self.destroy(find).await
    }

    /// A record, if a request would take it for a session.
    async fn read(
        &self,
        key: RecordKey,
        stored: StoredRecord,
    ) -> Result<Option<LiveRecord>, Error> {
        let now = self.context.now();
        let Some(record) = read_live(&stored, now, self.context) else { return Ok(None) };
        let is_revoked = is_revoked(&record, self.context).await?;
        Ok((!is_revoked).then_some(LiveRecord { key, stored, record }))
    }
}

/// Keeps each session once: a key and the one that follows it may both lead to it.
pub(crate) fn unique(mut sessions: Vec<LiveRecord>) -> Vec<LiveRecord> {
    let mut seen = HashSet::new();
    sessions.retain(|found| seen.insert(found.key));
    sessions
}

/// Shows where it is, not what is in it.
impl fmt::Debug for LiveRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveRecord").field("key", &self.key).finish_non_exhaustive()
    }
}
