//! The cookie backend: the sealed record is the value of the visitor's cookie.
//!
//! # Plaintext, version 1
//! ```text
//! token (32 bytes) ‖ sealed at (8) ‖ idle deadline (8) ‖ record (JSON, see the record module)
//! ```
//! Moments are milliseconds since the Unix epoch, big-endian. The token is no key of a record here. It
//! identifies the session for CSRF tokens and logs, and `regenerate` replaces it.
//!
//! There is no server-side copy to compare with. So the last response of two tabs wins, and a copied
//! cookie is valid until the deadline that is sealed in it.

use bytes::Bytes;

use crate::backend::{
    commit::{CommitOutcome, CookieUpdate, PendingCommit},
    decide::{CookieRule, Decision, Persistence, Seal, Step, decide},
    events::SessionEventKind,
    fit::fitting,
    loaded::{Choice, LoadedSession},
};
use crate::{
    backend::context::Context,
    cookie::{TokenCandidates, TooLarge, old_name::OldName},
    crypto::{seal::Sealer, token::Token},
    error::{Error, Kind},
    observe,
    record::{Record, lifetimes::is_live},
};
use cloakroom_store::{Revision, clock::Timestamp};

const MOMENT: usize = size_of::<u64>();

/// Loads the session that is sealed in the presented cookies.
pub(super) fn load(
    sealer: &Sealer,
    presented: &TokenCandidates<'_>,
    context: &Context,
) -> Option<LoadedSession> {
    let load = observe::Load::begin("cookie");
    let sealer = context.old_name_of(presented).map_or(sealer, OldName::sealer);
    let mut choice = Choice::default();
    for value in &presented.candidates {
        if let Some(opened) = open(sealer, value, context) {
            choice.offer(opened);
        }
    }
    let loaded = choice.finish();
    load.finish_cookie(loaded.is_some());
    loaded
}

fn open(sealer: &Sealer, value: &[u8], context: &Context) -> Option<LoadedSession> {
    let opened = sealer.open(value)?;
    let (token, expires, mut record) = read(opened.plaintext())?;
    let now = context.now();
    record.end_values(now);
    let is_live = is_live(&record, expires, now);
    if !is_live {
        context.report(SessionEventKind::Expired, record.owner.as_ref(), None);
    }
    is_live.then(|| {
        let stored = Persistence::Stored { revision: Revision::default(), expires };
        let seal = if opened.stale_key { Seal::OfOldKey } else { Seal::Current };
        LoadedSession { seal, ..LoadedSession::of_record(record, stored, token, None, now) }
    })
}

fn read(plaintext: &[u8]) -> Option<(Token, Timestamp, Record)> {
    let (token, rest) = plaintext.split_first_chunk::<{ Token::BYTES }>()?;
    let (_sealed_at, rest) = rest.split_first_chunk::<MOMENT>()?;
    let (expires, record) = rest.split_first_chunk::<MOMENT>()?;
    let expires = Timestamp::from_millis(u64::from_be_bytes(*expires));
    Some((Token::from_bytes(*token), expires, Record::decode(&Bytes::copy_from_slice(record))?))
}

fn write(token: &Token, now: Timestamp, expires: Timestamp, record: &[u8]) -> Vec<u8> {
    let mut plaintext = Vec::with_capacity(Token::BYTES + 2 * MOMENT + record.len());
    plaintext.extend_from_slice(token.as_bytes());
    plaintext.extend_from_slice(&now.as_millis().to_be_bytes());
    plaintext.extend_from_slice(&expires.as_millis().to_be_bytes());
    plaintext.extend_from_slice(record);
    plaintext
}

/// Seals the session, if it has changed. A logout is carried out even if the changes after it cannot be
/// sealed.
pub(crate) fn commit(
    sealer: &Sealer,
    pending: &PendingCommit,
    context: &Context,
) -> Result<CommitOutcome, Error> {
    match seal(sealer, pending, context) {
        Err(error) if pending.is_logout() => {
            let mut logout = pending.clone();
            logout.drop_changes(context);
            let outcome = seal(sealer, &logout, context)?;
            Ok(CommitOutcome { refused: Some(error), ..outcome })
        }
        outcome => outcome,
    }
}

fn seal(
    sealer: &Sealer,
    pending: &PendingCommit,
    context: &Context,
) -> Result<CommitOutcome, Error> {
    let now = context.now();
    let deadlines = context.deadlines(&pending.record);
    let decision = decide(pending.persistence, pending.wanted(&pending.record), deadlines, now);
    let Some(token) = pending.token_afterwards().cloned() else {
        return Err(
            Kind::Unsupported { attempted: "commit without a visitor", driver: "cookie" }.into()
        );
    };
    let (Step::Create { expires }
    | Step::Replace { expires }
    | Step::Touch { expires }
    | Step::Rotate { expires, .. }) = decision.step
    else {
        return Ok(without_sealing(pending, decision, token));
    };
    let max_age = deadlines.max_age(expires, now);
    let mut record = pending.record.clone();
    let value = fitting(&mut record, &pending.changes, |record| {
        let plaintext = write(&token, now, expires, record.encode(None)?.as_bytes());
        let step = observe::Step::seal("cookie", plaintext.len());
        let value = sealer.seal(&plaintext);
        let fits = context.cookies().check_size(&value, max_age);
        fits.map_err(|TooLarge { size, limit }| Kind::TooLarge { size, limit })?;
        step.finish_sealing();
        Ok(value)
    })?;
    let persistence = Persistence::Stored { revision: Revision::default(), expires };
    let cookie = CookieUpdate::Set { value, max_age };
    let token = Some(token);
    let step = decision.step;
    Ok(CommitOutcome { persistence, key: None, token, record, cookie, step, refused: None })
}

/// Returns the outcome of a commit that seals nothing.
fn without_sealing(pending: &PendingCommit, decision: Decision, token: Token) -> CommitOutcome {
    let Decision { step, cookie: rule } = decision;
    let (persistence, cookie) = match rule {
        CookieRule::Remove => (Persistence::New, CookieUpdate::Remove),
        _ => (pending.persistence, CookieUpdate::Keep),
    };
    let (token, record) = (Some(token), pending.record.clone());
    CommitOutcome { persistence, key: None, token, record, cookie, step, refused: None }
}
