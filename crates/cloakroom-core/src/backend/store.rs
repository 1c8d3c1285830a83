//! Server-side sessions: loading them from a store.

use std::{iter, sync::Arc};

use bytes::Bytes;

use crate::backend::{
    attempts::Attempts,
    decide::{Persistence, Seal},
    events::SessionEventKind,
    loaded::{Choice, LoadedSession, read_live},
    turns::Turns,
};
use crate::{
    backend::context::Context,
    cookie::{TokenCandidates, old_name::OldName},
    crypto::{app_tag::TagKey, token::Token},
    error::{Error, Kind},
    observe,
    record::{Record, lifetimes, owner::Owner},
};
use cloakroom_store::{
    Commit, Draft, Entry, KeyWatch, Outcome, RecordKey, Store, StoreError, StoredRecord,
    WatchedKeys,
};

/// The number of rotations of one session that a lookup follows.
const MAX_ROTATIONS: usize = 256;

/// A store, the queues of the commits that write to it, and the readers that wait for an ending.
#[derive(Debug)]
pub(crate) struct StoreBackend {
    store: Arc<dyn Store>,
    pub(super) turns: Arc<Turns>,
    /// The keys whose endings in this process readers wait for.
    pub(super) watched: WatchedKeys,
}

impl StoreBackend {
    pub(crate) fn new(store: Arc<dyn Store>) -> Self {
        Self { store, turns: Arc::new(Turns::new()), watched: WatchedKeys::default() }
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// Watches for the end of the session under `key`, in this process and as far as the store reports it
    /// in others.
    pub(crate) fn watch(&self, key: RecordKey) -> impl Iterator<Item = KeyWatch> {
        let feed = self.store().as_ending_feed();
        iter::once(self.watched.watch(key)).chain(feed.map(|feed| feed.watch(&key)))
    }

    /// Loads the session that the presented tokens name.
    pub(super) async fn load(
        &self,
        presented: &TokenCandidates<'_>,
        context: &Context,
    ) -> Result<Option<LoadedSession>, Error> {
        let old_name = context.old_name_of(presented);
        let pre_sessions = old_name.map_or(context.pre_sessions(), OldName::pre_sessions);
        let mut choice = Choice::default();
        for value in &presented.candidates {
            let Some(token) = Token::parse(value) else {
                if let Some(opened) = pre_sessions.open(value, context.now()) {
                    choice.offer(LoadedSession::pre_session(opened, context));
                }
                continue;
            };
            let key = token.record_key();
            let load = observe::Load::begin(self.store.name());
            let loaded = self.store().load(&key).await;
            load.finish(&loaded);
            match loaded.map_err(|cause| failed("load the session", cause))? {
                None => (),
                Some(Entry::Live(stored)) => match read(token, key, &stored, context) {
                    Some(live) => choice.offer(live),
                    None => self.report_expired(key, &stored, context),
                },
                Some(Entry::Tombstone { successor, expires, .. }) => {
                    let now = context.now();
                    choice.offer(
                        if lifetimes::tombstone_counts(successor.is_some(), expires, now) {
                            LoadedSession::ended(token, key, context)
                        } else {
                            LoadedSession::after(Some(key), context)
                        },
                    );
                }
            }
        }
        Ok(choice.finish())
    }

    /// Reports a record whose deadline has passed.
    fn report_expired(&self, key: RecordKey, stored: &StoredRecord, context: &Context) {
        if !context.has_subscriber() {
            return;
        }
        let Ok(record) = context.records().read(&stored.bytes, &key) else { return };
        if !lifetimes::is_live(&record, stored.expires, context.now()) {
            let owner = record.owner.as_ref();
            context.report(SessionEventKind::Expired, owner, Some(self.handle(owner, key)));
        }
    }

    /// Loads the session of a token that the application derives from a name. If there is none, stores the
    /// record that `make` returns. Concurrent calls store it once. Returns `None` if there is no record.
    pub(crate) async fn load_or_store(
        &self,
        token: &Token,
        make: impl Future<Output = Result<Option<Record>, Error>>,
        context: &Context,
    ) -> Result<Option<LoadedSession>, Error> {
        let text = token.expose();
        let presented = TokenCandidates::only(text.as_bytes());
        if let Some(found) = self.load(&presented, context).await? {
            return Ok(Some(found));
        }
        let Some(record) = make.await? else { return Ok(None) };
        match self.store_new(token, record, context).await? {
            Some(stored) => Ok(Some(stored)),
            None => self.load(&presented, context).await,
        }
    }

    /// Stores a new session under `token`. Returns `None` if there is a live one already.
    async fn store_new(
        &self,
        token: &Token,
        record: Record,
        context: &Context,
    ) -> Result<Option<LoadedSession>, Error> {
        const ATTEMPTED: &str = "store a session";
        let (key, at, idle) =
            (token.record_key(), context.now(), context.lifetimes().idle(&record));
        let text = Bytes::from(record.encode(Some(context.apps()))?);
        let (expires, bytes) = (at + idle, context.records().write(text, &key));
        let draft = || {
            Draft::new(bytes.clone(), at, idle)
                .with_expires(expires)
                .with_owner(record.owner.as_ref().map(Owner::key))
        };
        let (committer, mut attempts) = (self.committer(context), Attempts::new(context));
        let create = Commit::create(key, draft());
        let mut sent = committer.send(create, ATTEMPTED, &mut attempts).await?;
        if sent == Outcome::Exists
            && let Some(Entry::Live(had)) =
                self.store().load(&key).await.map_err(|cause| failed(ATTEMPTED, cause))?
            && read_live(&key, &had, at, context).is_none()
        {
            // A session that has ended by its absolute timeout is stored until its idle deadline.
            let replace = Commit::replace(key, had.revision, draft());
            sent = committer.send(replace, ATTEMPTED, &mut attempts).await?;
        }
        let Outcome::Done(revision) = sent else { return Ok(None) };
        let owner = record.owner.as_ref();
        context.report(SessionEventKind::Created, owner, Some(self.handle(owner, key)));
        let stored = Persistence::Stored { revision, expires };
        Ok(Some(LoadedSession::of_record(record, stored, token.clone(), Some(key), at)))
    }

    /// Loads the current record under `key`, within the deadline of a commit.
    pub(crate) async fn reload(
        &self,
        key: Option<RecordKey>,
        context: &Context,
    ) -> Result<(Persistence, Arc<Record>), Error> {
        let ended = || (Persistence::Ended, Arc::new(context.empty_record()));
        let Some(key) = key else { return Ok(ended()) };
        let mut attempts = Attempts::new(context);
        let found = attempts.within(self.store().load(&key)).await;
        let found = found.unwrap_or_else(|| Err(attempts.timed_out()));
        let found = found.map_err(|cause| failed("load the session", cause))?;
        let Some(Entry::Live(stored)) = found else { return Ok(ended()) };
        let record = read_live(&key, &stored, context.now(), context);
        Ok(record.map_or_else(ended, |record| ((&stored).into(), Arc::new(record))))
    }
}

/// Reads a stored record. Returns `None` unless it is live.
fn read(
    token: Token,
    key: RecordKey,
    stored: &StoredRecord,
    context: &Context,
) -> Option<LoadedSession> {
    let at = context.now();
    let record = read_live(&key, stored, at, context)?;
    let seal = match record.tag_key {
        TagKey::Newest => Seal::Current,
        TagKey::Older => Seal::OfOldKey,
    };
    let loaded = LoadedSession::of_record(record, stored.into(), token, Some(key), at);
    Some(LoadedSession { seal, ..loaded })
}

/// Loads the live record under `key`, of any application. Follows the tombstones of rotations to the
/// key that the record has moved to, and returns that key with the record.
pub(crate) async fn load_following_rotations(
    store: &dyn Store,
    mut key: RecordKey,
) -> Result<Option<(RecordKey, StoredRecord)>, Error> {
    for _ in 0..MAX_ROTATIONS {
        let found = store.load(&key).await.map_err(|cause| failed("find a session", cause))?;
        match found {
            Some(Entry::Live(stored)) => return Ok(Some((key, stored))),
            Some(Entry::Tombstone { successor: Some(successor), .. }) => key = successor,
            Some(Entry::Tombstone { successor: None, .. }) | None => return Ok(None),
        }
    }
    Ok(None)
}

/// Awaits work that follows a commit, within the deadline of a commit.
pub(crate) async fn within_deadline<T>(
    work: impl Future<Output = Result<T, Error>> + Unpin,
    context: &Context,
) -> Result<T, Error> {
    let mut attempts = Attempts::new(context);
    let result = attempts.within(work).await;
    result.unwrap_or_else(|| Err(failed("count an owner's sessions", attempts.timed_out())))
}

/// Makes the error of a failed store. `attempted` says what the store was used for.
pub(crate) fn failed(attempted: &'static str, cause: StoreError) -> Error {
    Kind::Store { attempted, cause }.into()
}
