//! The one decision of a commit: what the backend has to do, and what becomes of the cookie.

use std::time::Duration;

use crate::backend::commit::{Persistence, Seal, Usage};
use crate::record::{Record, change::Contents};
use cloakroom_store::clock::Timestamp;

/// A deadline moves when more than this fraction of the idle timeout has gone by, so that a busy
/// reader costs ten touches per idle timeout and not one per request.
const TOUCH_FRACTION: u32 = 10;

/// A pre-session counts for the idle timeout, and for no longer than this.
const MAX_PRE_SESSION: Duration = Duration::from_secs(24 * 3_600);

/// What a request wants, or several that commit together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) action: Action,
    pub(crate) contents: Contents,
    /// What a session that is stored nowhere leaves behind.
    pub(crate) worth: Worth,
    /// Whether the request says who the visitor is.
    pub(crate) sets_owner: bool,
    pub(crate) usage: Usage,
    pub(crate) seal: Seal,
}

/// What a session that is stored nowhere leaves behind. The later variant includes the earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Worth {
    Nothing,
    /// A pre-session cookie, because a page shows a CSRF token.
    Cookie,
    Record,
}

impl Worth {
    /// Returns the worth of a session with this record.
    pub(crate) fn with(self, record: &Record) -> Self {
        if record.is_empty() { self } else { Self::Record }
    }
}

/// A [`TokenAction`](super::commit::TokenAction) without its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Keep,
    Rotate,
    Destroy,
}

/// The deadlines that a record has after its changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Deadlines {
    /// The idle timeout.
    pub(crate) idle: Duration,
    pub(crate) absolute: Option<Timestamp>,
    pub(crate) cookie: CookieContents,
    pub(crate) browser: Browser,
}

impl Deadlines {
    /// Returns how long the browser keeps a cookie of a session with this idle deadline. `None`:
    /// until it is closed.
    pub(crate) fn max_age(&self, expires: Timestamp, now: Timestamp) -> Option<Duration> {
        match self.browser {
            Browser::KeepsCookie => Some(now.until(self.end(expires))),
            Browser::DropsCookie => None,
        }
    }

    /// Returns how long a pre-session counts.
    fn pre_session(&self) -> Duration {
        self.idle.min(MAX_PRE_SESSION)
    }

    /// Returns when the session ends unless it is used.
    fn end(&self, expires: Timestamp) -> Timestamp {
        self.absolute.map_or(expires, |absolute| expires.min(absolute))
    }
}

/// What a browser does with the cookie when it is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Browser {
    KeepsCookie,
    DropsCookie,
}

/// What the visitor's cookie holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieContents {
    /// A token: the cookie follows when its lifetime moves.
    Token,
    /// The sealed record: the cookie follows each change.
    Record,
}

/// What the backend has to do.
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
    /// Destroys the record that was rotated away from under the request, if there still is one.
    DestroySuccessor,
}

impl Step {
    /// Returns whether the step writes the record, rather than its deadline alone.
    pub(crate) fn writes_record(self) -> bool {
        matches!(self, Self::Create { .. } | Self::Replace { .. } | Self::Rotate { .. })
    }
}

/// Which revision a rotation accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepts {
    /// The one that the request read: its record has to survive.
    Expected,
    /// Any: the session ends, and what is written is another one's record.
    Any,
}

/// What becomes of the cookie once the step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CookieRule {
    Keep,
    Set,
    /// It gets a pre-session that counts until this moment.
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

/// Decides what a commit has to do.
///
/// Only a request that itself ends the live session removes the cookie. Requests of an ended session
/// leave it alone and write nothing, with two exceptions: a logout follows the session to its new
/// key, and a sign-in (an owner and a new token) begins a new session.
///
/// A session that has nothing in it and shows a CSRF token gets a pre-session cookie and no record.
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
        (Persistence::PreSession { expires }, action) => {
            let is_due = now.until(expires) < deadlines.pre_session() / 2;
            let shows_token = wanted.worth == Worth::Cookie;
            let is_issued = match action {
                Action::Keep => shows_token && is_due,
                Action::Rotate => true,
                Action::Destroy => shows_token,
            };
            (Step::Nothing, if is_issued { pre_session(deadlines, now) } else { Keep })
        }
        (Persistence::Ended, Action::Destroy) => (Step::DestroySuccessor, Remove),
        (Persistence::Ended, Action::Rotate) if wanted.sets_owner => {
            (Step::Create { expires: fresh }, Set)
        }
        (Persistence::New | Persistence::Ended, _) => (Step::Nothing, Keep),
        (Persistence::Stored { expires, .. }, Action::Keep) => {
            return keep(expires, wanted, deadlines, now);
        }
        (Persistence::Stored { .. }, Action::Rotate) => {
            (Step::Rotate { expires: fresh, accepts: Accepts::Expected }, Set)
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

fn pre_session(deadlines: Deadlines, now: Timestamp) -> CookieRule {
    CookieRule::SetPreSession { expires: now + deadlines.pre_session() }
}

/// Decides for a live session that keeps its token.
fn keep(expires: Timestamp, wanted: Wanted, deadlines: Deadlines, now: Timestamp) -> Decision {
    let touch_is_due = expires.until(now + deadlines.idle) > deadlines.idle / TOUCH_FRACTION;
    let moves = match (wanted.contents, wanted.usage) {
        (Contents::Lifetime, _) => true,
        (_, Usage::Used) => touch_is_due,
        (_, Usage::Unused) => false,
    };
    let moved = if moves { now + deadlines.idle } else { expires };
    let step = if wanted.contents != Contents::Unchanged || wanted.seal == Seal::OfOldKey {
        Step::Replace { expires: moved }
    } else if moved != expires {
        Step::Touch { expires: moved }
    } else {
        Step::Nothing
    };
    let follows = match (deadlines.cookie, deadlines.browser) {
        (CookieContents::Record, _) => step != Step::Nothing,
        (CookieContents::Token, Browser::KeepsCookie) => {
            deadlines.end(moved) != deadlines.end(expires)
        }
        (CookieContents::Token, Browser::DropsCookie) => false,
    };
    let set = follows || wanted.contents == Contents::Lifetime;
    Decision { step, cookie: if set { CookieRule::Set } else { CookieRule::Keep } }
}

#[cfg(test)]
mod tests;
