//! The cookie driver: the session travels with the visitor, sealed.
//!
//! # Plaintext, version 1
//! ```text
//! token (32 bytes) ‖ sealed at (8) ‖ idle deadline (8) ‖ record (JSON, see the record module)
//! ```
//! Moments are milliseconds since the Unix epoch, big-endian. The token files nothing here; it names
//! the session for CSRF tokens and logs, and `regenerate` replaces it.
//!
//! There is no server-side copy to compare with: between two tabs the last response wins, and a
//! copied cookie is good until the deadline that is sealed in it.

use super::{Opened, issue, only};
use crate::{
    clock::Timestamp,
    cookie::Presented,
    error::Error,
    lifetimes::{end, is_live},
    observe,
    record::Record,
    seal::Sealer,
    session::state::{CookieState, Fate, Origin, Saved, Work},
    sessions::Engine,
    store::Revision,
    token::Token,
};

const MOMENT: usize = size_of::<u64>();

/// The session that is sealed in the presented cookies.
pub(super) fn open(sealer: &Sealer, presented: &Presented<'_>, engine: &Engine) -> Option<Opened> {
    let load = observe::Load::begin("cookie");
    let found = presented.candidates.iter().filter_map(|value| {
        let opened = sealer.open(value)?;
        let (token, expires, record) = read(opened.plaintext())?;
        let cookie = if opened.stale_key { CookieState::OfOldKey } else { CookieState::Current };
        is_live(&record, expires, engine.now()).then_some(Opened {
            origin: Origin::Live { revision: Revision::default(), expires, cookie },
            token,
            record,
        })
    });
    let opened = only(found);
    load.opened(opened.is_some());
    opened
}

fn read(plaintext: &[u8]) -> Option<(Token, Timestamp, Record)> {
    let (token, rest) = plaintext.split_first_chunk::<{ Token::BYTES }>()?;
    let (_sealed_at, rest) = rest.split_first_chunk::<MOMENT>()?;
    let (expires, record) = rest.split_first_chunk::<MOMENT>()?;
    let expires = Timestamp::from_millis(u64::from_be_bytes(*expires));
    Some((Token::from_bytes(*token), expires, Record::decode(record)?))
}

fn write(token: &Token, now: Timestamp, expires: Timestamp, record: &str) -> Vec<u8> {
    let mut plaintext = Vec::with_capacity(Token::BYTES + 2 * MOMENT + record.len());
    plaintext.extend_from_slice(token.as_bytes());
    plaintext.extend_from_slice(&now.as_millis().to_be_bytes());
    plaintext.extend_from_slice(&expires.as_millis().to_be_bytes());
    plaintext.extend_from_slice(record.as_bytes());
    plaintext
}

/// Seals the session, where anything about it has changed.
pub(crate) fn commit(
    sealer: &Sealer,
    work: &Work,
    chunks: &[u8],
    engine: &Engine,
) -> Result<Saved, Error> {
    let now = engine.now();
    let anew = engine.lifetimes().deadline(&work.record, now);
    let expires = match (work.origin, &work.fate) {
        (Origin::Live { expires, cookie, .. }, Fate::Stay) => {
            let moved = work.moved(expires, engine.lifetimes(), now);
            let stays = work.log.is_empty() && moved == expires && cookie == CookieState::Current;
            (!stays).then_some(moved)
        }
        (Origin::Live { .. }, Fate::Rotate(_)) => Some(anew),
        _ => work.is_worth_creating().then_some(anew),
    };
    let Some(expires) = expires else { return Ok(without_seal(work, chunks, engine)) };
    let token = work.token_afterwards().clone();
    let plaintext = write(&token, now, expires, &work.record.encode()?);
    let step = observe::Step::seal("cookie", plaintext.len());
    let ends = end(&work.record, expires);
    let sealed = sealer.seal(&plaintext);
    let cookies = issue(engine, &work.record, &sealed, ends, now, chunks)?;
    step.ended("done");
    let (revision, cookie) = (Revision::default(), CookieState::Current);
    let origin = Origin::Live { revision, expires, cookie };
    Ok(Saved { origin, token, record: None, cookies: Some(cookies) })
}

/// Nothing is sealed: the session was ended, or there is nothing to say of it.
fn without_seal(work: &Work, chunks: &[u8], engine: &Engine) -> Saved {
    let ended = matches!((work.origin, &work.fate), (Origin::Live { .. }, Fate::End(_)));
    let cookies = ended.then(|| engine.cookies().remove(chunks));
    let origin = if ended { Origin::New } else { work.origin };
    Saved { origin, token: work.token_afterwards().clone(), record: None, cookies }
}
