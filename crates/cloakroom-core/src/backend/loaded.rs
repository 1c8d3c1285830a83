//! A session as a request loads it.

use std::{cmp::Ordering, sync::Arc};

use crate::{
    backend::{
        context::Context,
        decide::{Persistence, Seal},
        device_binding::Presence,
    },
    crypto::token::Token,
    record::{NoRecord, Record, lifetimes::is_live},
};
use cloakroom_store::{RecordKey, StoredRecord, clock::Timestamp};

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
    /// Whether the session was taken over from another library, whose cookie the response removes.
    pub(crate) is_taken_over: bool,
    /// Whether the request comes from the device of the session.
    pub(crate) presence: Presence,
}

impl LoadedSession {
    /// Makes a session without a record.
    pub(crate) fn new(context: &Context) -> Self {
        Self::absent(Persistence::New, Token::draw(), None, context)
    }

    /// Makes a new session in place of one that has ended under `key`. It keeps the key, because the
    /// record may have been rotated to another key, and a logout finds it from there.
    pub(super) fn after(key: Option<RecordKey>, context: &Context) -> Self {
        Self::absent(Persistence::New, Token::draw(), key, context)
    }

    /// Makes a new session in place of this one, which has ended.
    pub(crate) fn start_over(self, context: &Context) -> Self {
        Self::after(self.key, context)
    }

    /// Withholds this session from a request that does not come from its device. The request writes nothing and
    /// keeps the cookie, as one of a session that has ended, so the session stays for its device. A sign-in
    /// begins a new session, and a logout ends this one.
    pub(crate) fn withheld(self, context: &Context) -> Self {
        Self::absent(Persistence::Ended, self.token, self.key, context)
    }

    /// Makes a session without a record for a visitor with a pre-session cookie. The token has the seed
    /// of the CSRF tokens that the visitor's pages show.
    pub(super) fn pre_session((token, expires): (Token, Timestamp), context: &Context) -> Self {
        Self::absent(Persistence::PreSession { expires }, token, None, context)
    }

    /// Makes a session that has ended a short time ago.
    pub(super) fn ended(token: Token, key: RecordKey, context: &Context) -> Self {
        Self::absent(Persistence::Ended, token, Some(key), context)
    }

    fn absent(
        persistence: Persistence,
        token: Token,
        key: Option<RecordKey>,
        context: &Context,
    ) -> Self {
        let at = context.now();
        Self::of_record(context.lifetimes().new_record(at), persistence, token, key, at)
    }

    /// Makes a session with this record, which was read at the time `at`.
    pub(super) fn of_record(
        record: Record,
        persistence: Persistence,
        token: Token,
        key: Option<RecordKey>,
        at: Timestamp,
    ) -> Self {
        Self {
            persistence,
            key,
            token,
            record: Arc::new(record),
            seal: Seal::Current,
            at,
            is_taken_over: false,
            presence: Presence::Unbound,
        }
    }
}

/// Reads the record under `key`. Returns `None` unless it is live at `now` and belongs to this application. Returns
/// `None` also for an unreadable record, because an error at each request would lock the visitor out.
pub(crate) fn read_live(
    key: &RecordKey,
    stored: &StoredRecord,
    now: Timestamp,
    context: &Context,
) -> Option<Record> {
    let record = context.records().read(&stored.bytes, key);
    if record.as_ref().is_err_and(|error| *error == NoRecord::Unreadable) {
        let bytes = stored.bytes.len();
        tracing::warn!(
            bytes,
            "ignoring an unreadable session record: it is damaged or of another version, and its \
             visitor gets a new session"
        );
    }
    let mut record = record.ok().filter(|record| is_live(record, stored.expires, now))?;
    record.end_values(now);
    Some(record)
}

/// Chooses one session among those that a request's cookies identify. Prefers a live session to an
/// ended one, an ended one to a pre-session, and that to a new one. Chooses none of two live sessions or of two
/// pre-sessions, because the order of cookies does not show which one a neighbouring domain has
/// planted.
#[derive(Default)]
pub(super) struct Choice {
    chosen: Option<LoadedSession>,
    is_ambiguous: bool,
}

impl Choice {
    pub(super) fn offer(&mut self, loaded: LoadedSession) {
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

    pub(super) fn finish(self) -> Option<LoadedSession> {
        if self.is_ambiguous {
            tracing::warn!(
                "ignoring the session cookies of a request: they are of different sessions"
            );
            return None;
        }
        self.chosen
    }
}
