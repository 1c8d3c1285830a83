//! Backends: where sessions are kept between requests. All stores share one backend behind [`Store`].
//! The cookie backend is separate, because it has no server-side record to compare with.
//!
//! [`Store`]: crate::store::Store

mod attempts;
mod batch;
pub(crate) mod commit;
mod committer;
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

/// The backend of an application's sessions.
#[derive(Debug)]
pub(crate) enum Backend {
    /// The value of the cookie is the sealed record.
    Cookie(Sealer),
    /// The cookie holds a token, and the store holds the record.
    Store(StoreBackend),
}

/// A session as the request loaded it.
#[derive(Debug)]
pub(crate) struct LoadedSession {
    pub(crate) persistence: Persistence,
    /// The key of the stored record. For a new session, the key of the ended session whose token the
    /// request had, if there was one.
    pub(crate) key: Option<RecordKey>,
    pub(crate) token: Token,
    pub(crate) record: Arc<Record>,
    pub(crate) seal: Seal,
    pub(crate) at: Timestamp,
}

impl Backend {
    /// Returns the name of this backend for logs.
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

    /// Loads the session that the presented cookies identify. Begins a new session if there is none.
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
            // In a box, because the hook is rare and its future would enlarge this one.
            Some(loaded) if !Box::pin(is_revoked(&loaded.record, context)).await? => Ok(loaded),
            _ => Ok(LoadedSession::new(context)),
        }
    }

    /// Commits `pending`.
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

/// Returns whether the application's [`NotBefore`](not_before::NotBefore) hook rejects the sign-in.
pub(crate) async fn is_revoked(record: &Record, context: &Context) -> Result<bool, Error> {
    let (Some(hook), Some(owner)) = (context.not_before(), &record.owner) else { return Ok(false) };
    let moment = hook.not_before(&owner.name).await;
    let attempted = "check the owner's sign-in with the NotBefore hook";
    let not_before = moment.map_err(|cause| Error::from(Kind::Store { attempted, cause }))?;
    Ok(not_before.is_some_and(|not_before| owner.since < not_before))
}

impl LoadedSession {
    /// Makes a session without a record.
    pub(crate) fn new(context: &Context) -> Self {
        Self::absent(Persistence::New, Token::draw(), None, context)
    }

    /// Makes a new session in place of one that has ended under `key`. It keeps the key, because the
    /// record may have been rotated to another key, and a logout finds it from there.
    fn after(key: Option<RecordKey>, context: &Context) -> Self {
        Self::absent(Persistence::New, Token::draw(), key, context)
    }

    /// Makes a new session in place of this one, which has ended.
    pub(crate) fn start_over(self, context: &Context) -> Self {
        Self::after(self.key, context)
    }

    /// Makes a session without a record for a visitor with a pre-session cookie. The token has the seed
    /// of the CSRF tokens that the visitor's pages show.
    fn pre_session((token, expires): (Token, Timestamp), context: &Context) -> Self {
        Self::absent(Persistence::PreSession { expires }, token, None, context)
    }

    /// Makes a session that has ended a short time ago.
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

/// Reads a record. Returns `None` unless it is live at `now` and belongs to this application. Returns
/// `None` also for an unreadable record, because an error at each request would lock the visitor out.
pub(crate) fn read_live(
    stored: &StoredRecord,
    now: Timestamp,
    context: &Context,
) -> Option<Record> {
    let record = Record::decode_of(&stored.bytes, context.apps());
    if record.as_ref().is_err_and(|error| *error == NoRecord::Unreadable) {
        let bytes = stored.bytes.len();
        tracing::warn!(
            bytes,
            "ignoring an unreadable session record: it is damaged or of another version, and its \
             visitor gets a new session"
        );
    }
    record.ok().filter(|record| is_live(record, stored.expires, now))
}

/// Chooses one session among those that a request's cookies identify. Prefers a live session to an
/// ended one, an ended one to a pre-session, and that to a new one. Chooses none of two live sessions or of two
/// pre-sessions, because the order of cookies does not show which one a neighbouring domain has
/// planted.
#[derive(Default)]
struct Choice {
    chosen: Option<LoadedSession>,
    is_ambiguous: bool,
}

impl Choice {
    fn offer(&mut self, loaded: LoadedSession) {
        let rank = |session: &LoadedSession| match session.persistence {
            Persistence::Stored { .. } => 4,
            Persistence::Ended => 3,
            Persistence::PreSession { .. } => 2,
            Persistence::New => 1,
        };
        let chosen = self.chosen.as_ref().map_or(0, rank);
        match rank(&loaded).cmp(&chosen) {
            Ordering::Less => (),
            Ordering::Equal => {
                let has_ended = matches!(loaded.persistence, Persistence::Ended | Persistence::New);
                self.is_ambiguous = !has_ended;
            }
            Ordering::Greater => *self = Self { chosen: Some(loaded), is_ambiguous: false },
        }
    }

    fn finish(self) -> Option<LoadedSession> {
        if self.is_ambiguous {
            tracing::warn!(
                "ignoring the session cookies of a request: they are of different sessions"
            );
            return None;
        }
        self.chosen
    }
}
