//! Sessions reached from outside their requests, by handle.

use std::{collections::HashSet, fmt};

use futures_util::future::try_join_all;

use crate::{
    Error, Session, Sessions,
    backend::{
        Backend, is_revoked, read_live,
        store::{Committer, StoreBackend, failed, load_following_rotations},
    },
    error::Kind,
    owner::{Handle, Owner},
    record::Record,
    store::{Directory, Enumerate, Found, KeyPage, OwnerKey, Place, RecordKey, Stored},
};

/// So many records are loaded at a time.
pub(crate) const BATCH: usize = 32;
/// So many sessions of an owner are on a page, or a few more.
const PAGE: usize = 128;
/// So many entries of an owner's index one page looks at, or a few more.
const LOOKED_AT: usize = 1024;

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
        match self.sessions().backend() {
            Backend::Store(_) => self.record_key().map(|key| name(self.owned().as_ref(), key)),
            Backend::Cookie(_) => None,
        }
    }
}

/// What names a session of this owner, if it has one, under this key.
pub(crate) fn name(owner: Option<&Owner>, key: RecordKey) -> String {
    owner.map_or_else(|| key.to_string(), |owner| owner.handle().to_string())
}

impl Sessions {
    pub(crate) fn store_backend(&self, attempted: &'static str) -> Result<&StoreBackend, Error> {
        match self.backend() {
            Backend::Store(backend) => Ok(backend),
            backend @ Backend::Cookie(_) => {
                Err(Kind::Unsupported { attempted, driver: backend.name() }.into())
            }
        }
    }

    pub(crate) fn committer(&self, attempted: &'static str) -> Result<Committer<'_>, Error> {
        Ok(self.store_backend(attempted)?.committer(self.context()))
    }

    pub(crate) fn enumerable(&self, attempted: &'static str) -> Result<&dyn Enumerate, Error> {
        let store = self.store_backend(attempted)?.store();
        let driver = store.name();
        store.enumerate().ok_or_else(|| Kind::Unsupported { attempted, driver }.into())
    }

    /// The store's index of owners.
    pub(crate) fn index(&self, attempted: &'static str) -> Result<&dyn Directory, Error> {
        let store = self.store_backend(attempted)?.store();
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

    pub(crate) async fn reach_owned(&self, handle: Handle) -> Result<Option<Reached>, Error> {
        let attempted = "find a session";
        let Some(index) = self.store_backend(attempted)?.store().directory() else {
            // Nobody's sessions are named so where there is no index of owners.
            return Ok(None);
        };
        let keys = index.keys_with_tag(&handle.owner, handle.id.tag()).await;
        let keys = keys.map_err(|cause| failed(attempted, cause))?;
        let theirs = self.reach_owned_by(&handle.owner, &keys).await?;
        let is_named =
            |it: &Reached| it.record.owner.as_ref().is_some_and(|owner| owner.handle() == handle);
        Ok(theirs.into_iter().find(is_named))
    }

    /// Loads live sessions of an owner from the place `from` on: [`PAGE`] or more, unless these are
    /// the last or there are few of them among the next [`LOOKED_AT`] entries.
    pub(crate) async fn reach_page_of(
        &self,
        owner: &OwnerKey,
        mut from: Place,
    ) -> Result<(Vec<Reached>, Option<Place>), Error> {
        let attempted = "list an owner's sessions";
        let index = self.index(attempted)?;
        let (mut theirs, mut looked_at) = (Vec::new(), 0);
        loop {
            let page = index.keys_of(owner, from, PAGE).await;
            let KeyPage { keys, next, seen } = page.map_err(|cause| failed(attempted, cause))?;
            theirs.extend(self.reach_owned_by(owner, &keys).await?);
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
    pub(crate) async fn reach_owned_by(
        &self,
        owner: &OwnerKey,
        keys: &[RecordKey],
    ) -> Result<Vec<Reached>, Error> {
        let mut theirs = Vec::new();
        for batch in keys.chunks(BATCH) {
            let reached = batch.iter().map(|key| self.reach_successor(*key));
            theirs.extend(try_join_all(reached).await?.into_iter().flatten());
        }
        theirs.retain(|it| it.record.owner.as_ref().map(Owner::key) == Some(*owner));
        Ok(unique(theirs))
    }

    /// The live session under `key`, and none that a tombstone leads on to: a key of before a login
    /// does not lead into it.
    pub(crate) async fn reach_key(&self, key: RecordKey) -> Result<Option<Reached>, Error> {
        let attempted = "find a session";
        let found = self.store_backend(attempted)?.store().load(&key).await;
        match found.map_err(|cause| failed(attempted, cause))? {
            Some(Found::Live(stored)) => self.reached(key, stored).await,
            Some(Found::Tombstone { .. }) | None => Ok(None),
        }
    }

    /// The live session that `key` leads to, over the tombstones of regenerations.
    pub(crate) async fn reach_successor(&self, key: RecordKey) -> Result<Option<Reached>, Error> {
        let store = self.store_backend("find a session")?.store();
        match load_following_rotations(store, key).await? {
            Some((key, stored)) => self.reached(key, stored).await,
            None => Ok(None),
        }
    }

    /// A record, if a request would take it for a session.
    async fn reached(&self, key: RecordKey, stored: Stored) -> Result<Option<Reached>, Error> {
        let now = self.context().now();
        let Some(record) = read_live(&stored, now, self.context()) else { return Ok(None) };
        let is_revoked = is_revoked(&record, self.context()).await?;
        Ok((!is_revoked).then_some(Reached { key, stored, record }))
    }
}

/// Keeps each session once: a key and the one that follows it may both lead to it.
pub(crate) fn unique(mut sessions: Vec<Reached>) -> Vec<Reached> {
    let mut seen = HashSet::new();
    sessions.retain(|it| seen.insert(it.key));
    sessions
}

/// Shows where it is, not what is in it.
impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reached").field("key", &self.key).finish_non_exhaustive()
    }
}
