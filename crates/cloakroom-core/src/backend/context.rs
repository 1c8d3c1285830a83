//! The settings that all requests of an application share.

use std::{fmt, num::NonZeroUsize, sync::Arc, time::Duration};

use crate::{
    backend::{
        device_binding::Binding, events::Subscriber, foreign::Foreign, not_before::NotBefore,
        users::AnyUsers,
    },
    cookie::{Cookies, TokenCandidates, old_name::OldName, pre_session::PreSessions},
    crypto::{app_keys::SubKey, app_tag::AppTags, csrf_token::CsrfKeys},
    form::SecretFields,
    http::{site_data::SiteData, site_origins::SiteOrigins},
    record::{
        Record,
        lifetimes::{Browser, CookieContents, Deadlines, Lifetimes},
        sealed::RecordFormat,
    },
};
use cloakroom_store::clock::{Clock, Timestamp};

/// Cookies, origins, keys, timeouts, limits, clock and hooks of a session system.
pub(crate) struct Context {
    pub(crate) cookies: Cookies,
    pub(crate) origins: SiteOrigins,
    pub(crate) cookie_contents: CookieContents,
    pub(crate) records: RecordFormat,
    pub(crate) csrf: CsrfKeys,
    pub(crate) shared: SubKey,
    pub(crate) pre_sessions: PreSessions,
    pub(crate) old_name: Option<OldName>,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) commit_deadline: Duration,
    pub(crate) max_bytes: usize,
    pub(crate) max_sessions: Option<NonZeroUsize>,
    pub(crate) clear_site_data: Vec<SiteData>,
    pub(crate) server_errors: ServerErrors,
    pub(crate) show_errors: bool,
    pub(crate) previous_url: bool,
    pub(crate) sign_in_page: Option<Box<str>>,
    pub(crate) secret_fields: SecretFields,
    pub(crate) no_touch_header: Option<String>,
    pub(crate) not_before: Option<Arc<dyn NotBefore>>,
    pub(crate) users: Option<Arc<dyn AnyUsers>>,
    pub(crate) foreign: Option<Foreign>,
    pub(crate) device_binding: Option<Binding>,
    pub(crate) subscriber: Option<Subscriber>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Context {
    pub(crate) fn cookies(&self) -> &Cookies {
        &self.cookies
    }

    /// Returns the origins that belong to the application or are trusted by it.
    pub(crate) fn origins(&self) -> &SiteOrigins {
        &self.origins
    }

    /// Returns the tags by which this application recognizes its records in a store.
    pub(crate) fn apps(&self) -> &AppTags {
        self.records.apps()
    }

    /// Returns how records are written for a store and read.
    pub(crate) fn records(&self) -> &RecordFormat {
        &self.records
    }

    pub(crate) fn csrf(&self) -> &CsrfKeys {
        &self.csrf
    }

    /// Returns the key from which the tokens of shared sessions are derived.
    pub(crate) fn shared_key(&self) -> &SubKey {
        &self.shared
    }

    pub(crate) fn pre_sessions(&self) -> &PreSessions {
        &self.pre_sessions
    }

    /// Returns the name that the session cookie had before, if its cookies are still read.
    pub(crate) fn old_name(&self) -> Option<&OldName> {
        self.old_name.as_ref()
    }

    /// Returns the old name if the request has its session under it.
    pub(super) fn old_name_of(&self, presented: &TokenCandidates<'_>) -> Option<&OldName> {
        self.old_name().filter(|_| presented.are_of_old_name)
    }

    pub(crate) fn lifetimes(&self) -> &Lifetimes {
        &self.lifetimes
    }

    /// Returns how long a commit may take.
    pub(crate) fn commit_deadline(&self) -> Duration {
        self.commit_deadline
    }

    /// Returns the limit of a stored record's size in bytes.
    pub(crate) fn max_bytes(&self) -> usize {
        self.max_bytes
    }

    /// Returns the limit of an owner's sessions. `None`: no limit.
    pub(crate) fn max_sessions(&self) -> Option<NonZeroUsize> {
        self.max_sessions
    }

    /// Returns the form fields that are not flashed.
    pub(crate) fn secret_fields(&self) -> &SecretFields {
        &self.secret_fields
    }

    /// Returns the name of the header whose requests do not count as a use, in lower case.
    pub(crate) fn no_touch_header(&self) -> Option<&str> {
        self.no_touch_header.as_deref()
    }

    /// Returns the data that browsers remove at a sign-out.
    pub(crate) fn clear_site_data(&self) -> &[SiteData] {
        &self.clear_site_data
    }

    pub(crate) fn server_errors(&self) -> ServerErrors {
        self.server_errors
    }

    /// Returns whether responses with status 500 and 503 carry the message that the log has.
    pub(crate) fn show_errors(&self) -> bool {
        self.show_errors
    }

    /// Returns whether sessions keep the URL of the last page that was shown.
    pub(crate) fn keeps_previous_url(&self) -> bool {
        self.previous_url
    }

    /// Returns the path of the page on which visitors sign in.
    pub(crate) fn sign_in_page(&self) -> Option<&str> {
        self.sign_in_page.as_deref()
    }

    pub(crate) fn not_before(&self) -> Option<&dyn NotBefore> {
        self.not_before.as_deref()
    }

    pub(crate) fn users(&self) -> Option<&dyn AnyUsers> {
        self.users.as_deref()
    }

    pub(crate) fn foreign(&self) -> Option<&Foreign> {
        self.foreign.as_ref()
    }

    /// Returns how sessions are bound to devices, unless that is off.
    pub(crate) fn device_binding(&self) -> Option<&Binding> {
        self.device_binding.as_ref()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub(crate) fn empty_record(&self) -> Record {
        self.lifetimes.new_record(self.now())
    }

    /// Returns the timeouts of `record` and its cookie.
    pub(crate) fn deadlines(&self, record: &Record) -> Deadlines {
        let by_default =
            || self.cookies.browser_session() && !self.lifetimes.outlives_others(record);
        let drops = record.browser_session.unwrap_or_else(by_default);
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

/// Sets whether a session's changes are committed when the response is a server error (status 500 to
/// 599).
///
/// `destroy` and `regenerate` take effect either way, because a logout must not depend on the page
/// that follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerErrors {
    /// The changes are committed, as with any other response.
    #[default]
    Commit,
    /// The changes are discarded. For handlers that expect a rollback when they fail.
    Discard,
}
