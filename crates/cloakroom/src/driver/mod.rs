//! Drivers: where records live. Server-side stores differ behind [`Store`]; the cookie driver has
//! nothing to compare with and is a case of its own.

pub(crate) mod sealed;
pub(crate) mod stored;

use std::sync::Arc;

use tracing::Instrument;

use crate::{
    clock::Timestamp,
    cookie::{Presented, TooLarge},
    error::{Error, Kind},
    observe,
    record::Record,
    seal::Sealer,
    session::state::Origin,
    sessions::Engine,
    store::Store,
    token::Token,
};

#[derive(Debug)]
pub(crate) enum Driver {
    /// The record itself, sealed, is the cookie's value.
    Cookie(Sealer),
    /// The cookie holds a token; the store holds the record.
    Store(Arc<dyn Store>),
}

/// What was found of a session when the request opened it.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) origin: Origin,
    pub(crate) token: Token,
    pub(crate) record: Record,
}

impl Driver {
    /// The word for this driver in logs.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Cookie(_) => "cookie",
            Self::Store(store) => store.name(),
        }
    }

    /// The session that the presented cookies lead to, or a new one.
    pub(crate) async fn open(
        &self,
        presented: &Presented<'_>,
        engine: &Engine,
    ) -> Result<Opened, Error> {
        if presented.candidates.is_empty() {
            return Ok(Opened::anew(engine));
        }
        let span = tracing::debug_span!(target: observe::TARGET, "open", driver = self.name());
        let found = match self {
            Self::Cookie(sealer) => span.in_scope(|| sealed::open(sealer, presented, engine)),
            // In a box, so that requests on the cookie driver do not carry its size along.
            Self::Store(store) => {
                Box::pin(stored::open(&**store, presented, engine).instrument(span)).await?
            }
        };
        match found {
            Some(opened) if !is_revoked(&opened.record, engine).await? => Ok(opened),
            _ => Ok(Opened::anew(engine)),
        }
    }
}

/// Whether the application says that this sign-in does not count any more.
pub(crate) async fn is_revoked(record: &Record, engine: &Engine) -> Result<bool, Error> {
    let (Some(hook), Some(owner)) = (engine.not_before(), &record.owner) else { return Ok(false) };
    let asked = hook.not_before(&owner.name).await;
    let attempted = "ask since when the owner's sign-ins count";
    let not_before = asked.map_err(|cause| Error::from(Kind::Store { attempted, cause }))?;
    Ok(not_before.is_some_and(|not_before| owner.since < not_before))
}

impl Opened {
    fn is_live(&self) -> bool {
        matches!(self.origin, Origin::Live { .. })
    }

    pub(crate) fn anew(engine: &Engine) -> Self {
        Self { origin: Origin::New, token: Token::draw(), record: engine.empty_record() }
    }
}

/// The one session among those that a request's cookies led to. Two different ones are none: the
/// order of cookies says nothing about which of them a neighbouring domain tossed in.
fn only(found: impl Iterator<Item = Opened>) -> Option<Opened> {
    let mut chosen: Option<Opened> = None;
    for opened in found {
        match &chosen {
            Some(other) if other.is_live() && opened.is_live() => {
                tracing::warn!("the request has cookies of different sessions; taking none");
                return None;
            }
            Some(other) if other.is_live() => (),
            _ => chosen = Some(opened),
        }
    }
    chosen
}

/// `Set-Cookie` lines that give the visitor `value` until `expires`.
fn issue(
    engine: &Engine,
    record: &Record,
    value: &str,
    expires: Timestamp,
    now: Timestamp,
    chunks: &[u8],
) -> Result<Vec<String>, Error> {
    let with_browser = ends_with_browser(engine, record);
    let age = (!with_browser).then(|| now.until(expires));
    engine
        .cookies()
        .issue(value, age, chunks)
        .map_err(|TooLarge { size, limit }| Kind::TooLarge { size, limit }.into())
}

/// Whether the cookie goes when the browser is closed, so that moving its age means nothing.
fn ends_with_browser(engine: &Engine, record: &Record) -> bool {
    engine.cookies().end_with_browser() && !engine.lifetimes().outlives_others(record)
}
