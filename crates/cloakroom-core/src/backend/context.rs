//! What all requests of an application share, apart from the backend.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use crate::{
    backend::{
        decide::{Browser, CookieContents, Deadlines},
        not_before::NotBefore,
    },
    cookie::{Cookies, pre_session::PreSessions},
    crypto::{app_tag::AppTags, csrf_token::CsrfKeys},
    form::SecretFields,
    record::{Record, lifetimes::Lifetimes},
};
use cloakroom_store::clock::{Clock, Timestamp};

/// Cookies, timeouts, limits, clock and hooks of a session system.
pub(crate) struct Context {
    pub(crate) cookies: Cookies,
    pub(crate) cookie_contents: CookieContents,
    pub(crate) apps: AppTags,
    pub(crate) csrf: CsrfKeys,
    pub(crate) pre_sessions: PreSessions,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) commit_deadline: Duration,
    pub(crate) max_bytes: usize,
    pub(crate) max_sessions: Option<NonZeroUsize>,
    pub(crate) server_errors: ServerErrors,
    pub(crate) show_errors: bool,
    pub(crate) secret_fields: SecretFields,
    pub(crate) not_before: Option<Arc<dyn NotBefore>>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Context {
    pub(crate) fn cookies(&self) -> &Cookies {
        &self.cookies
    }

    /// Returns which of a store's records are this application's.
    pub(crate) fn apps(&self) -> &AppTags {
        &self.apps
    }

    pub(crate) fn csrf(&self) -> &CsrfKeys {
        &self.csrf
    }

    pub(crate) fn pre_sessions(&self) -> &PreSessions {
        &self.pre_sessions
    }

    pub(crate) fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// Returns how long a commit is tried.
    pub(crate) fn commit_deadline(&self) -> Duration {
        self.commit_deadline
    }

    /// Returns how many bytes a store's record may have.
    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Returns how many sessions an owner may have. `None`: any number.
    pub(crate) fn max_sessions(&self) -> Option<NonZeroUsize> {
        self.max_sessions
    }

    /// Returns which fields of forms are not flashed.
    pub(crate) fn secret_fields(&self) -> &SecretFields {
        &self.secret_fields
    }

    pub(crate) fn server_errors(&self) -> ServerErrors {
        self.server_errors
    }

    /// Returns whether responses with status 500 and 503 carry the message that the log has.
    pub(crate) fn show_errors(&self) -> bool {
        self.show_errors
    }

    pub(crate) fn not_before(&self) -> Option<&dyn NotBefore> {
        self.not_before.as_deref()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn empty_record(&self) -> Record {
        self.lifetimes.new_record(self.now())
    }

    /// Returns the deadlines that `record` and its cookie live by.
    pub(crate) fn deadlines(&self, record: &Record) -> Deadlines {
        let drops = self.cookies.browser_session() && !self.lifetimes.outlives_others(record);
        Deadlines {
            idle: self.lifetimes.idle(record),
            absolute: record.absolute_deadline,
            cookie: self.cookie_contents,
            browser: if drops { Browser::DropsCookie } else { Browser::KeepsCookie },
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("lifetimes", &self.lifetimes).finish_non_exhaustive()
    }
}

/// What becomes of a session's changes when the response is a server error (status 500 to 599).
///
/// `destroy` and `regenerate` take effect either way: a logout whose goodbye page fails is still a
/// logout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerErrors {
    /// They are committed like any other. An error that becomes a response is a response.
    #[default]
    Commit,
    /// They are discarded, for handlers that expect to be undone when they fail.
    Discard,
}
