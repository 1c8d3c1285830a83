//! Finds and ends the live sessions of a store from outside of their requests.

use std::{collections::HashSet, fmt};

use futures_util::future::join_all;

use crate::{
    backend::{
        Backend,
        committer::EndingSession,
        context::Context,
        events::EndedBy,
        is_revoked,
        loaded::read_live,
        store::{StoreBackend, failed, load_following_rotations},
    },
    error::{Error, Kind},
    record::{
        Record,
        handle::{SessionHandle, Target},
        lifetimes::Lifetimes,
        owner::{Owner, SessionId},
    },
};
use cloakroom_store::{
    Cursor, Entry, KeyPage, OwnerIndex, OwnerKey, RecordKey, Scan, Store, StoreError, StoredRecord,
};

/// How many records are loaded at a time.
const BATCH: usize = 32;
/// How many sessions of an owner a page has, unless they are the last. It may have a few more.
const PAGE: usize = 128;
/// How many entries of an owner's index a page looks at. It may look at a few more.
const MAX_SEEN: usize = 1024;

/// A live record, and where it is stored.
pub(crate) struct LiveRecord {
    pub(crate) key: RecordKey,
    pub(crate) stored: StoredRecord,
    pub(crate) record: Record,
}

/// The live sessions that a search has found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) live: Vec<LiveRecord>,
    /// How many further ones are [locked](Kind::Locked).
    pub(crate) locked: usize,
}

impl Found {
    fn add(&mut self, found: Result<Option<LiveRecord>, Error>) -> Result<(), Error> {
        match found {
            Err(error) if error.is_locked() => self.locked += 1,
            found => self.live.extend(found?),
        }
        Ok(())
    }

    fn append(&mut self, more: Self) {
        self.live.extend(more.live);
        self.locked += more.locked;
    }
}

impl StoreBackend {
    /// Returns the handle of the session under `key`, which has this owner.
    pub(crate) fn handle(&self, owner: Option<&Owner>, key: RecordKey) -> SessionHandle {
        handle_of(self.store(), owner, key)
    }
}

/// Returns the handle of the session under `key`, which has this owner. A store without an index of owners
/// finds no session by its owner, so the key names the session there.
pub(super) fn handle_of(store: &dyn Store, owner: Option<&Owner>, key: RecordKey) -> SessionHandle {
    match owner.filter(|_| store.as_owner_index().is_some()) {
        Some(owner) => SessionHandle::of_owned(owner),
        None => SessionHandle::of_stored(key),
    }
}

/// Finds the live sessions of a store.
#[derive(Clone, Copy)]
pub(crate) struct Lookup<'a> {
    backend: &'a StoreBackend,
    context: &'a Context,
    /// Names the operation of the caller in errors.
    attempted: &'static str,
}

impl<'a> Lookup<'a> {
    /// Makes a lookup. `attempted` says in errors what it is for.
    ///
    /// # Errors
    /// On the cookie driver, because visitors have its sessions.
    pub(crate) fn new(
        backend: &'a Backend,
        context: &'a Context,
        attempted: &'static str,
    ) -> Result<Self, Error> {
        Ok(Self { backend: backend.store(attempted)?, context, attempted })
    }

    pub(crate) fn lifetimes(&self) -> &'a Lifetimes {
        self.context.lifetimes()
    }

    /// Returns the handle of a session that was found.
    pub(crate) fn handle(&self, found: &LiveRecord) -> SessionHandle {
        self.backend.handle(found.record.owner.as_ref(), found.key)
    }

    fn store(&self) -> &'a dyn Store {
        self.backend.store()
    }

    fn unsupported(&self) -> Error {
        Kind::Unsupported { attempted: self.attempted, driver: self.store().name() }.into()
    }

    fn failed(&self, cause: StoreError) -> Error {
        failed(self.attempted, cause)
    }

    fn scan(&self) -> Result<&'a dyn Scan, Error> {
        self.store().as_scan().ok_or_else(|| self.unsupported())
    }

    /// Returns the store's index of owners.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if the store has none.
    pub(crate) fn index(&self) -> Result<&'a dyn OwnerIndex, Error> {
        self.store().as_owner_index().ok_or_else(|| self.unsupported())
    }

    /// Finds the live session that `handle` names.
    pub(crate) async fn by_handle(
        &self,
        handle: SessionHandle,
    ) -> Result<Option<LiveRecord>, Error> {
        match handle.target() {
            Target::Stored(key) => self.by_key(key).await,
            Target::Owned { id, owner } => self.by_owner(&owner, id).await,
        }
    }

    /// Finds the live session that `handle` names, also if it was regenerated. This is right for
    /// ending a session and wrong for showing or changing it, because a handle from before a login
    /// would resolve to the session after it.
    async fn by_handle_following_rotations(
        &self,
        handle: SessionHandle,
    ) -> Result<Option<LiveRecord>, Error> {
        match handle.target() {
            Target::Stored(key) => self.find_following_rotations(key).await,
            Target::Owned { id, owner } => self.by_owner(&owner, id).await,
        }
    }

    /// Finds the live session of `owner` that has this id.
    async fn by_owner(&self, owner: &OwnerKey, id: SessionId) -> Result<Option<LiveRecord>, Error> {
        let keys = self.index()?.keys_with_tag(owner, id.tag()).await;
        let keys = keys.map_err(|cause| self.failed(cause))?;
        let Found { live, locked } = self.of_owner_among(owner, &keys).await?;
        match live.into_iter().find(|found| found.has_id(id)) {
            None if locked > 0 => Err(Kind::Locked.into()),
            found => Ok(found),
        }
    }

    /// Loads live sessions of all owners and of none, from the place `from` on. A session may come
    /// twice in one round.
    ///
    /// # Errors
    /// When the store fails. [`Kind::Unsupported`] if it cannot scan its records.
    pub(crate) async fn page(&self, from: Cursor) -> Result<(Found, Option<Cursor>), Error> {
        let page = self.scan()?.scan(from).await;
        let KeyPage { keys, next, .. } = page.map_err(|cause| self.failed(cause))?;
        let mut found = Found::default();
        for batch in keys.chunks(BATCH) {
            let loads = join_all(batch.iter().map(|key| self.by_key(*key))).await;
            loads.into_iter().try_for_each(|load| found.add(load))?;
        }
        Ok((found, next))
    }

    /// Loads live sessions of an owner from the place `from` on: [`PAGE`] or more, unless these are
    /// the last or there are few of them among the next [`MAX_SEEN`] entries.
    ///
    /// # Errors
    /// When the store fails. [`Kind::Unsupported`] if it has no index of owners.
    pub(crate) async fn page_of(
        &self,
        owner: &OwnerKey,
        mut from: Cursor,
    ) -> Result<(Found, Option<Cursor>), Error> {
        let index = self.index()?;
        let (mut theirs, mut total_seen) = (Found::default(), 0);
        loop {
            let page = index.keys_of(owner, from, PAGE).await;
            let KeyPage { keys, next, seen, .. } = page.map_err(|cause| self.failed(cause))?;
            theirs.append(self.of_owner_among(owner, &keys).await?);
            // A step of the index that returns no entry has cost one as well.
            total_seen += seen.max(1);
            match next {
                Some(next) if theirs.live.len() < PAGE && total_seen < MAX_SEEN => from = next,
                next => return Ok((Found { live: unique(theirs.live), ..theirs }, next)),
            }
        }
    }

    /// Loads the live sessions of `owner` to which these keys lead. An index may return keys of
    /// other sessions, or keys from before a regeneration, because only the record says whose the
    /// session is.
    pub(crate) async fn of_owner_among(
        &self,
        owner: &OwnerKey,
        keys: &[RecordKey],
    ) -> Result<Found, Error> {
        let mut found = Found::default();
        for batch in keys.chunks(BATCH) {
            let loads = batch.iter().map(|key| self.find_following_rotations(*key));
            join_all(loads).await.into_iter().try_for_each(|load| found.add(load))?;
        }
        let Found { mut live, locked } = found;
        live.retain(|found| found.record.owner.as_ref().map(Owner::key) == Some(*owner));
        Ok(Found { live: unique(live), locked })
    }

    /// Finds the live session stored under `key`. Does not follow tombstones, so a key from before a
    /// login never resolves to the session after it.
    pub(crate) async fn by_key(&self, key: RecordKey) -> Result<Option<LiveRecord>, Error> {
        let entry = self.store().load(&key).await;
        match entry.map_err(|cause| self.failed(cause))? {
            Some(Entry::Live(stored)) => self.read(key, stored).await,
            Some(Entry::Tombstone { .. }) | None => Ok(None),
        }
    }

    /// Finds the live session that was stored under `key`, also if it was regenerated.
    async fn find_following_rotations(&self, key: RecordKey) -> Result<Option<LiveRecord>, Error> {
        match load_following_rotations(self.store(), key).await? {
            Some((key, stored)) => self.read(key, stored).await,
            None => Ok(None),
        }
    }

    /// Ends the session that `handle` names. Returns `true` if there was one.
    pub(crate) async fn end(&self, handle: SessionHandle, by: EndedBy) -> Result<bool, Error> {
        let find = || async move {
            Ok(self.by_handle_following_rotations(handle).await?.map(EndingSession::from))
        };
        self.end_found(by, find).await
    }

    /// Ends the sessions of `owner` that are `wanted`. Returns how many there were.
    ///
    /// # Errors
    /// When the store fails. The sessions that were ended before stay ended. [`Kind::Unsupported`] if
    /// the store has no index of owners. [`Kind::Locked`] if some sessions were, after the others have been
    /// ended.
    pub(crate) async fn end_each_of(
        &self,
        owner: &OwnerKey,
        by: EndedBy,
        wanted: impl Fn(&LiveRecord) -> bool,
    ) -> Result<usize, Error> {
        let (mut ended, mut locked, mut next) = (0, 0, Some(Cursor::default()));
        while let Some(from) = next {
            let (theirs, following) = self.page_of(owner, from).await?;
            for found in theirs.live.iter().filter(|found| wanted(found)) {
                if let Some(Owner { id, .. }) = found.record.owner {
                    ended += usize::from(self.end_owned(found.key, id, by).await?);
                }
            }
            locked += theirs.locked;
            next = following;
        }
        if locked == 0 { Ok(ended) } else { Err(Kind::Locked.into()) }
    }

    /// Ends the session that was found under `key` with this id, also if it was regenerated since.
    /// Spares it if another owner has it now. Returns `true` if it was there.
    pub(crate) async fn end_owned(
        &self,
        key: RecordKey,
        id: SessionId,
        by: EndedBy,
    ) -> Result<bool, Error> {
        let find = || async move {
            let found = self.find_following_rotations(key).await?;
            Ok(found.filter(|found| found.has_id(id)).map(EndingSession::from))
        };
        self.end_found(by, find).await
    }

    /// Ends the session whose key `find` returns, and finds it again if it is regenerated in between.
    /// Returns `true` if there was one.
    async fn end_found<F, L>(&self, by: EndedBy, find: F) -> Result<bool, Error>
    where
        F: Fn() -> L + Send,
        L: Future<Output = Result<Option<EndingSession>, Error>> + Send,
    {
        self.backend.committer(self.context).destroy(by, find).await
    }

    /// Reads a record. Returns `None` if a request would not load it as a live session.
    ///
    /// # Errors
    /// [`Kind::Locked`] in a tool that reads all applications, for a sealed record whose key it lacks.
    async fn read(
        &self,
        key: RecordKey,
        stored: StoredRecord,
    ) -> Result<Option<LiveRecord>, Error> {
        let now = self.context.now();
        if self.context.records().is_locked(&stored.bytes) && now < stored.expires {
            return Err(Kind::Locked.into());
        }
        let Some(record) = read_live(&key, &stored, now, self.context) else { return Ok(None) };
        let is_revoked = is_revoked(&record, self.context).await?;
        Ok((!is_revoked).then_some(LiveRecord { key, stored, record }))
    }
}

impl LiveRecord {
    /// Returns `true` if the session has an owner and this id in the owner's list.
    fn has_id(&self, id: SessionId) -> bool {
        self.record.owner.as_ref().is_some_and(|owner| owner.id == id)
    }
}

impl From<LiveRecord> for EndingSession {
    fn from(found: LiveRecord) -> Self {
        Self { key: found.key, owner: found.record.owner }
    }
}

/// Keeps each session once, because a key from before a regeneration and the key after it both lead
/// to it.
pub(crate) fn unique(mut sessions: Vec<LiveRecord>) -> Vec<LiveRecord> {
    let mut seen = HashSet::new();
    sessions.retain(|found| seen.insert(found.key));
    sessions
}

/// Shows where the record is stored. Its contents stay out of logs.
impl fmt::Debug for LiveRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveRecord").field("key", &self.key).finish_non_exhaustive()
    }
}
