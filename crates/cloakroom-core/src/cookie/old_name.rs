//! The name that the session cookie had before. Its cookies are read until a date.

use std::{fmt, time::SystemTime};

use crate::{
    cookie::{CookieSettings, Cookies, TokenCandidates, ValueForm, pre_session::PreSessions},
    crypto::{app_keys::AppKeys, seal::Sealer},
    error::ConfigError,
};
use cloakroom_store::clock::Timestamp;

/// Reads, opens and removes cookies of the old name.
pub(crate) struct OldName {
    cookies: Cookies,
    /// Opens records of the cookie driver, because sealed text is bound to the name of its cookie.
    sealer: Sealer,
    pre_sessions: PreSessions,
    until: Timestamp,
}

/// The settings of an [`OldName`], before they are checked.
pub(crate) struct OldNameSettings {
    pub(crate) cookie: CookieSettings,
    pub(crate) until: SystemTime,
}

impl OldName {
    /// # Errors
    /// When browsers would refuse the removal of the cookie.
    pub(crate) fn new(
        settings: OldNameSettings,
        form: ValueForm,
        keys: &AppKeys,
    ) -> Result<Self, ConfigError> {
        let OldNameSettings { cookie, until } = settings;
        let cookies = Cookies::new(cookie, form).map_err(ConfigError::of_old_cookie)?;
        Ok(Self {
            sealer: Sealer::new(keys, "session", cookies.name()),
            pre_sessions: PreSessions::new(keys, cookies.name()),
            cookies,
            until: until.into(),
        })
    }

    /// Adds the cookies of the old name to those that were found under the current one. Their values are
    /// candidates only if there are no others. Adds nothing from the end date on.
    pub(crate) fn add<'h>(
        &self,
        found: &mut TokenCandidates<'h>,
        headers: impl Iterator<Item = &'h [u8]>,
        now: Timestamp,
    ) {
        if now >= self.until {
            return;
        }
        let old = self.cookies.read(headers);
        if old.candidates.is_empty() && old.sent.chunks.is_empty() {
            return;
        }
        if found.candidates.is_empty() {
            found.are_of_old_name = !old.candidates.is_empty();
            found.candidates = old.candidates;
        }
        found.sent.old_chunks = Some(old.sent.chunks);
    }

    pub(crate) fn cookie_name(&self) -> &str {
        self.cookies.name()
    }

    /// Returns the name, until the end date.
    pub(crate) fn name(&self, now: Timestamp) -> Option<&str> {
        (now < self.until).then(|| self.cookies.name())
    }

    pub(crate) fn sealer(&self) -> &Sealer {
        &self.sealer
    }

    pub(crate) fn pre_sessions(&self) -> &PreSessions {
        &self.pre_sessions
    }

    /// Returns the `Set-Cookie` lines that remove the cookie and its chunks.
    pub(crate) fn removal(&self, chunks: &[u8]) -> Vec<String> {
        self.cookies.remove(chunks)
    }
}

/// Shows the name of the cookie.
impl fmt::Debug for OldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OldName").field("cookie", &self.cookies.name()).finish_non_exhaustive()
    }
}
