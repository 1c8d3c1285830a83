//! Backends: where sessions live between requests. Stores differ behind [`Store`]. The cookie
//! backend has nothing to compare with and is a case of its own.
//!
//! [`Store`]: crate::store::Store

mod attempts;
mod batch;
pub(crate) mod commit;
pub(crate) mod context;
pub(crate) mod cookie;
pub(crate) mod decide;
pub(crate) mod detached;
mod fit;
pub(crate) mod lookup;
mod member;
pub(crate) mod not_before;
pub(crate) mod sign_ins;
pub(crate) mod store;
mod turns;

use std::{cmp::Ordering, future::ready, sync::Arc};

use futures_util::future::Either;

use tracing::Instrument as _;

use crate::{
    backend::context::Context,
    cookie::TokenCandidates,
    crypto::{seal::Sealer, token::Token},
    error::{Error, Kind},
    observe,
    record::{NoRecord, Record, lifetimes::is_live},
};
use cloakroom_store::{RecordKey, StoredRecord, clock::Timestamp};
use commit::{CommitOutcome, PendingCommit, Persistence, Seal};
use decide::CookieContents;
use store::StoreBackend;

/// Where an application's sessions live.
#[derive(Debug)]
pub(crate) enum Backend {
    /// The record itself, sealed, is the cookie's value.
    Cookie(Sealer),
    /// The cookie holds a token, the store holds the record.
    Store(StoreBackend),
}

/// A session as it was when the request loaded it.
#[derive(Debug)]
pub(crate) struct LoadedSession {
    pub(crate) persistence: Persistence,
    /// The key of its record, where a store has one. A new session's is that of the ended one whose
    /// token came, if any.
    pub(crate) key: Option<RecordKey>,
    pub(crate) token: Token,
    pub(crate) record: Arc<Record>,
    pub(crate) seal: Seal,
    pub(crate) at: Timestamp,
}

impl Backend {
    /// Returns the word for this backend in logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Cookie(_) => "cookie",
            Self::Store(backend) => backend.store().name(),
        }
    }

    pub(crate) fn cookie_contents(&self) -> CookieContents {
        match self {
            Self::Cookie(_) => CookieContents::Record,
            Self::Store(_) => CookieContents::Token,
        }
    }

    /// Loads the session that the presented cookies name, or begins a new one.
    pub(crate) async fn load(
        &self,
        presented: &TokenCandidates<'_>,
        context: &Context,
    ) -> Result<LoadedSession, Error> {
        if presented.candidates.is_empty() {
            return Ok(LoadedSession::new(context));
        }
        let span = tracing::debug_span!(target: observe::TARGET, "open", driver = self.name());
        let loaded = match self {
            Self::Cookie(sealer) => span.in_scope(|| cookie::load(sealer, presented, context)),
            Self::Store(backend) => backend.load(presented, context).instrument(span).await?,
        };
        match loaded {
            Some(loaded) if context.not_before().is_none() => Ok(loaded),
            // In a box, because it is rare.
            Some(loaded) if !Box::pin(is_revoked(&loaded.record, context)).await? => Ok(loaded),
            _ => Ok(LoadedSession::new(context)),
        }
    }

    /// Carries out a commit.
    pub(crate) fn commit<'c>(
        &'c self,
        pending: Box<PendingCommit>,
        context: &'c Context,
    ) -> impl Future<Output = Result<CommitOutcome, Error>> + Send + 'c {
        match self {
            Self::Cookie(sealer) => Either::Left(ready(cookie::commit(sealer, &pending, context))),
            Self::Store(backend) => Either::Right(backend.committer(context).commit(pending)),
        }
    }
}

/// Returns whether the application says that this sign-in does not count any more.
pub(crate) async fn is_revoked(record: &Record, context: &Context) -> Result<bool, Error> {
    let (Some(hook), Some(owner)) = (context.not_before(), &record.owner) else { return Ok(false) };
    let asked = hook.not_before(&owner.name).await;
    let attempted = "ask since when the owner's sign-ins count";
    let not_before = asked.map_err(|cause| Error::from(Kind::Store { attempted, cause }))?;
    Ok(not_before.is_some_and(|not_before| owner.since < not_before))
}

impl LoadedSession {
    /// A session that is stored nowhere yet.
    pub(crate) fn new(context: &Context) -> Self {
        Self::absent(Persistence::New, Token::draw(), None, context)
    }

    /// A new session in place of this one, which has ended. It keeps the key, because a logout is
    /// meant for the session that was moved from there.
    pub(crate) fn start_over(self, context: &Context) -> Self {
        Self::absent(Persistence::New, Token::draw(), self.key, context)
    }

    /// A session that is stored nowhere, of a visitor who was shown a CSRF token of this seed.
    fn pre_session((token, expires): (Token, Timestamp), context: &Context) -> Self {
        Self::absent(Persistence::PreSession { expires }, token, None, context)
    }

    /// A session that has just ended.
    fn ended(token: Token, key: RecordKey, context: &Context) -> Self {
        Self::absent(Persistence::Ended, token, Some(key), context)
    }

    fn absent(
        persistence: Persistence,
        token: Token,
        key: Option<RecordKey>,
        context: &Context,
    ) -> Self {
        let at = context.now();
        let record = Arc::new(context.lifetimes().new_record(at));
        Self { persistence, key, token, record, seal: Seal::Current, at }
    }
}

/// Reads a record, if it is live at `now`. One that cannot be read is an absence, because an error at each
/// request would lock the visitor out. So is one of another application.
pub(crate) fn read_live(
    stored: &StoredRecord,
    now: Timestamp,
    context: &Context,
) -> Option<Record> {
    let record = Record::decode_of(&stored.bytes, context.apps());
    if record.as_ref().is_err_and(|error| *error == NoRecord::Unreadable) {
        let bytes = stored.bytes.len();
        tracing::warn!(bytes, "ignoring an unreadable session record");
    }
    record.ok().filter(|record| is_live(record, stored.expires, now))
}

/// Chooses one session among those that a request's cookies name: a live one, or else one that has
/// just ended, or else a pre-session. Two different ones are none, because the order of cookies does
/// not say which a neighbouring domain has planted.
#[derive(Default)]
struct Choice {
    chosen: Option<LoadedSession>,
    is_ambiguous: bool,
}

impl Choice {
    fn offer(&mut self, loaded: LoadedSession) {
        let rank = |it: &LoadedSession| match it.persistence {
            Persistence::Stored { .. } => 3,
            Persistence::Ended => 2,
            Persistence::PreSession { .. } => 1,
            Persistence::New => 0,
        };
        let chosen = self.chosen.as_ref().map_or(0, rank);
        match rank(&loaded).cmp(&chosen) {
            Ordering::Less => (),
            Ordering::Equal => self.is_ambiguous = loaded.persistence != Persistence::Ended,
            Ordering::Greater => *self = Self { chosen: Some(loaded), is_ambiguous: false },
        }
    }

    fn made(self) -> Option<LoadedSession> {
        if self.is_ambiguous {
            tracing::warn!("the request has cookies of different sessions; taking none");
            return None;
        }
        self.chosen
    }
}
