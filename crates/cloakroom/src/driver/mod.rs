//! Drivers: where records live. Server-side stores differ behind [`Store`]; the cookie driver has
//! nothing to compare with and is a case of its own.

mod sealed;
mod stored;

use std::sync::Arc;

use crate::{
    clock::Timestamp,
    cookie::{Cookies, Presented, TooLarge},
    error::{Error, Kind},
    record::Record,
    seal::Sealer,
    session::state::{Fate, Origin, Saved, Work},
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

    pub(crate) async fn open(
        &self,
        presented: &Presented<'_>,
        engine: &Engine,
    ) -> Result<Opened, Error> {
        let found = match self {
            Self::Cookie(sealer) => sealed::open(sealer, presented, engine),
            Self::Store(store) => stored::open(&**store, presented, engine).await?,
        };
        Ok(found.unwrap_or_else(|| Opened {
            origin: Origin::New,
            token: Token::draw(),
            record: engine.empty_record(),
        }))
    }

    pub(crate) async fn commit(
        &self,
        work: Work,
        chunks: &[u8],
        engine: &Engine,
    ) -> Result<Saved, Error> {
        match self {
            Self::Cookie(sealer) => sealed::commit(sealer, work, chunks, engine),
            Self::Store(store) => stored::commit(&**store, work, chunks, engine).await,
        }
    }
}

/// The one session among those that a request's cookies led to. Two different ones are none: the
/// order of cookies says nothing about which of them a neighbouring domain tossed in.
fn only(mut found: Vec<Opened>) -> Option<Opened> {
    let live = |opened: &&Opened| matches!(opened.origin, Origin::Live { .. });
    match found.iter().filter(live).count() {
        0 => found.pop(),
        1 => found.into_iter().find(|opened| matches!(opened.origin, Origin::Live { .. })),
        several => {
            tracing::warn!(several, "the request has cookies of different sessions; taking none");
            None
        }
    }
}

/// `Set-Cookie` lines that give the visitor `value` until `expires`.
fn issue(
    cookies: &Cookies,
    value: &str,
    expires: Timestamp,
    now: Timestamp,
    chunks: &[u8],
) -> Result<Vec<String>, Error> {
    cookies
        .issue(value, now.until(expires), chunks)
        .map_err(|TooLarge { size, limit }| Kind::TooLarge { size, limit }.into())
}

impl Work {
    /// Whether a session that is not kept anywhere yet has anything to be kept for.
    fn is_worth_creating(&self) -> bool {
        self.keep || !self.record.is_empty()
    }

    /// The token that the visitor has once this work is done.
    fn token_afterwards(&self) -> &Token {
        match &self.fate {
            Fate::Stay => &self.token,
            Fate::Rotate(next) | Fate::End(next) => next,
        }
    }

    /// The outcome when there was nothing to do.
    fn unchanged(self) -> Saved {
        Saved { origin: self.origin, token: self.token, record: self.record, cookies: None }
    }
}
