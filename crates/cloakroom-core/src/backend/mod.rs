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
pub(crate) mod device_binding;
pub(crate) mod events;
mod fit;
pub(crate) mod foreign;
pub(crate) mod loaded;
pub(crate) mod lookup;
mod member;
pub(crate) mod not_before;
pub(crate) mod sign_ins;
pub(crate) mod store;
mod turns;
pub(crate) mod users;

use std::future::ready;

use futures_util::future::Either;

use tracing::Instrument as _;

use crate::{
    backend::context::Context,
    cookie::TokenCandidates,
    crypto::seal::Sealer,
    error::{Error, Kind},
    observe,
    record::{Record, lifetimes::CookieContents},
};
use commit::{CommitOutcome, PendingCommit};
use decide::Seal;
use loaded::LoadedSession;
use store::StoreBackend;

/// The backend of an application's sessions.
#[derive(Debug)]
pub(crate) enum Backend {
    /// The value of the cookie is the sealed record.
    Cookie(Sealer),
    /// The cookie holds a token, and the store holds the record.
    Store(StoreBackend),
}

impl Backend {
    /// Returns the name of this backend for logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Cookie(_) => "cookie",
            Self::Store(backend) => backend.store().name(),
        }
    }

    /// Returns the backend of stores. `attempted` says in errors what it is for.
    ///
    /// # Errors
    /// On the cookie driver, because visitors have its sessions.
    pub(crate) fn store(&self, attempted: &'static str) -> Result<&StoreBackend, Error> {
        match self {
            Self::Store(backend) => Ok(backend),
            Self::Cookie(_) => Err(Kind::Unsupported { attempted, driver: self.name() }.into()),
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
            return match (context.foreign(), presented.foreign.as_deref()) {
                // In a box, because it is rare and its future is large.
                (Some(foreign), Some(cookie)) => {
                    Box::pin(self.take_over(foreign, cookie, context)).await
                }
                _ => Ok(LoadedSession::new(context)),
            };
        }
        let span = tracing::debug_span!(target: observe::TARGET, "open", driver = self.name());
        let loaded = match self {
            Self::Cookie(sealer) => span.in_scope(|| cookie::load(sealer, presented, context)),
            Self::Store(backend) => backend.load(presented, context).instrument(span).await?,
        };
        let loaded = match context.old_name_of(presented) {
            Some(_) => loaded.map(|loaded| LoadedSession { seal: Seal::OfOldName, ..loaded }),
            None => loaded,
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
