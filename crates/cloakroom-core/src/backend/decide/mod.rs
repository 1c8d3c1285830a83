//! The decision of a commit: the step of the backend and the rule for the cookie.

use std::time::Duration;

use crate::{
    cookie::MAX_MAX_AGE,
    record::{
        Record,
        change::Contents,
        lifetimes::{Browser, CookieContents, Deadlines},
    },
};
use cloakroom_store::{Revision, StoredRecord, clock::Timestamp};

/// A deadline moves after more than this fraction of the idle timeout. So a visitor who sends many
/// requests causes ten touches per idle timeout at most, rather than one per request. If that fraction is
/// long, the deadline moves earlier, because the touch renews the cookie, which browsers drop after
/// [`MAX_MAX_AGE`].
const TOUCH_FRACTION: u32 = 10;

/// The longest time for which a pre-session is valid. It is valid for the idle timeout if that is
/// shorter.
const MAX_PRE_SESSION: Duration = Duration::from_secs(24 * 3_600);

/// How a session is stored in the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// The session has no record. The request had no token, or a token without a live record.
    New,
    /// The session has no record. The request had a genuine pre-session cookie, which is valid until
    /// this moment, because an earlier page has shown a CSRF token.
    PreSession { expires: Timestamp },
    /// The session has a live record.
    Stored { revision: Revision, expires: Timestamp },
    /// The record was rotated or destroyed shortly before the request or during it. Nothing is
    /// written, and the cookie stays unchanged, because it may belong to a newer login.
    Ended,
}

impl From<&StoredRecord> for Persistence {
    fn from(stored: &StoredRecord) -> Self {
        Self::Stored { revision: stored.revision, expires: stored.expires }
    }
}

/// Which application key sealed the visitor's cookie, or tagged the record in a store, and which name the
/// cookie has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seal {
    Current,
    /// An older key, so the commit has to write the cookie or the record again.
    OfOldKey,
    /// The cookie has its old name, so the commit has to set it under the current one. On a store, it also
    /// touches the record, because a session that has ended since must not get a new cookie.
    OfOldName,
}

/// Whether a commit counts as a use of the session. A use moves the idle deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    Used,
    /// The commit comes from a task outside of the session's requests, or from a request that does not
    /// count, such as a background poll.
    Unused,
}

/// The summary of a commit that the decision depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) action: Action,
    pub(crate) contents: Contents,
    /// The part of an unstored session that the commit stores.
    pub(crate) worth: Worth,
    /// Whether the request signs its visitor in, so that a new session begins if its own has ended.
    pub(crate) signs_in: bool,
    pub(crate) usage: Usage,
    pub(crate) seal: Seal,
}

impl Wanted {
    /// Returns whether the idle timeout starts again at the commit. It does at a use, and if the session
    /// gets other timeouts.
    fn starts_idle_time(self) -> bool {
        self.usage == Usage::Used || self.contents == Contents::Lifetime
    }
}

/// The part of an unstored session that a commit stores. A later variant includes the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Worth {
    Nothing,
    /// A pre-session cookie, because a page shows a CSRF token.
    Cookie,
    /// A record in the backend, with its cookie.
    Record,
}

impl Worth {
    /// Returns the worth of a session with this record. A record with contents has to be stored.
    pub(crate) fn with(self, record: &Record) -> Self {
        if record.is_empty() { self } else { Self::Record }
    }
}

/// The request's intent for the session's token, without the new token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Keep,
    Rotate,
    Destroy,
}

/// The step of the backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Nothing,
    Create {
        expires: Timestamp,
    },
    Replace {
        expires: Timestamp,
    },
    Touch {
        expires: Timestamp,
    },
    Rotate {
        expires: Timestamp,
        accepts: Accepts,
    },
    Destroy,
    /// Destroys the record under the key that a concurrent request has rotated it to.
    DestroySuccessor,
}

impl Step {
    /// Returns whether the step writes a record.
    pub(crate) fn writes_record(self) -> bool {
        matches!(self, Self::Create { .. } | Self::Replace { .. } | Self::Rotate { .. })
    }
}

/// The revision that a rotation accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepts {
    /// The revision that the request read, because the session continues with its record.
    Expected,
    /// Any revision, because the session ends and the written record belongs to another one.
    Any,
}

/// The rule for the cookie after the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieRule {
    Keep,
    Set,
    /// Sets a pre-session that is valid until this moment.
    SetPreSession {
        expires: Timestamp,
    },
    Remove,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) step: Step,
    pub(crate) cookie: CookieRule,
}

/// Decides on the step and the cookie of a commit.
///
/// Only a request that itself ends the live session removes the cookie. A request of an ended session
/// keeps the cookie and writes nothing, with two exceptions. A logout follows the session to its new
/// key. A sign-in, which sets a new owner and a new token, begins a new session.
///
/// An empty session whose page shows a CSRF token gets a pre-session cookie and no record.
pub(crate) fn decide(
    stored: Persistence,
    wanted: Wanted,
    deadlines: Deadlines,
    now: Timestamp,
) -> Decision {
    use CookieRule::{Keep, Remove, Set};
    let fresh = now + deadlines.idle;
    let (step, cookie) = match (stored, wanted.action) {
        (Persistence::New | Persistence::PreSession { .. }, _) if wanted.worth == Worth::Record => {
            (Step::Create { expires: fresh }, Set)
        }
        (Persistence::New, _) if wanted.worth == Worth::Cookie => {
            (Step::Nothing, pre_session(deadlines, now))
        }
        (Persistence::PreSession { expires }, _) => {
            (Step::Nothing, renew_pre_session(expires, wanted, deadlines, now))
        }
        (Persistence::Ended, Action::Destroy) => (Step::DestroySuccessor, Remove),
        (Persistence::Ended, Action::Rotate) if wanted.signs_in => {
            (Step::Create { expires: fresh }, Set)
        }
        (Persistence::New | Persistence::Ended, _) => (Step::Nothing, Keep),
        (Persistence::Stored { expires, .. }, Action::Keep) => {
            return keep(expires, wanted, deadlines, now);
        }
        (Persistence::Stored { expires, .. }, Action::Rotate) => {
            let expires = if wanted.starts_idle_time() { fresh } else { expires };
            (Step::Rotate { expires, accepts: Accepts::Expected }, Set)
        }
        (Persistence::Stored { .. }, Action::Destroy) if wanted.worth == Worth::Record => {
            (Step::Rotate { expires: fresh, accepts: Accepts::Any }, Set)
        }
        (Persistence::Stored { .. }, Action::Destroy) if wanted.worth == Worth::Cookie => {
            (Step::Destroy, pre_session(deadlines, now))
        }
        (Persistence::Stored { .. }, Action::Destroy) => (Step::Destroy, Remove),
    };
    Decision { step, cookie }
}

/// Returns how long a pre-session is valid.
fn pre_session_span(deadlines: Deadlines) -> Duration {
    deadlines.idle.min(MAX_PRE_SESSION)
}

/// Sets a new pre-session.
fn pre_session(deadlines: Deadlines, now: Timestamp) -> CookieRule {
    CookieRule::SetPreSession { expires: now + pre_session_span(deadlines) }
}

/// Decides on the cookie of a pre-session that stays without a record. A page with a CSRF token renews
/// it in its second half.
fn renew_pre_session(
    expires: Timestamp,
    wanted: Wanted,
    deadlines: Deadlines,
    now: Timestamp,
) -> CookieRule {
    let is_due = now.until(expires) < pre_session_span(deadlines) / 2;
    let shows_token = wanted.worth == Worth::Cookie;
    let is_renewed = match wanted.action {
        Action::Keep => (shows_token && is_due) || wanted.seal == Seal::OfOldName,
        Action::Rotate => true,
        Action::Destroy => shows_token,
    };
    if is_renewed { pre_session(deadlines, now) } else { CookieRule::Keep }
}

/// Decides for a live session that keeps its token.
fn keep(expires: Timestamp, wanted: Wanted, deadlines: Deadlines, now: Timestamp) -> Decision {
    let unused = expires.until(now + deadlines.idle);
    let touch_is_due = unused > (deadlines.idle / TOUCH_FRACTION).min(MAX_MAX_AGE / 2);
    let is_due = touch_is_due || wanted.contents == Contents::Lifetime;
    let moves = is_due && wanted.starts_idle_time();
    let moved = if moves { now + deadlines.idle } else { expires };
    let is_renamed = wanted.seal == Seal::OfOldName;
    let is_sealed_again =
        wanted.seal == Seal::OfOldKey || (is_renamed && deadlines.cookie == CookieContents::Record);
    let step = if wanted.contents != Contents::Unchanged || is_sealed_again {
        Step::Replace { expires: moved }
    } else if moved != expires || is_renamed {
        Step::Touch { expires: moved }
    } else {
        Step::Nothing
    };
    let follows = match (deadlines.cookie, deadlines.browser) {
        (CookieContents::Record, _) => step != Step::Nothing,
        (CookieContents::Token, Browser::KeepsCookie) => {
            deadlines.end(moved) != deadlines.end(expires)
                || (moved != expires && deadlines.outlives_cookie(now))
        }
        (CookieContents::Token, Browser::DropsCookie) => false,
    };
    let set = follows || is_renamed || wanted.contents == Contents::Lifetime;
    Decision { step, cookie: if set { CookieRule::Set } else { CookieRule::Keep } }
}

#[cfg(test)]
mod tests;
