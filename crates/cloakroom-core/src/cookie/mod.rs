//! The session cookie: its settings, reading it from requests and writing it into responses.
//!
//! Most applications keep the defaults, which follow OWASP ASVS 5.0, 3.3. [`CookieSettings`] changes the
//! name and the attributes.
//!
//! ```
//! # use cloakroom_core as cloakroom;
//! use cloakroom::{AppKeys, Driver, Sessions, cookie::CookieSettings};
//!
//! let cookie = CookieSettings { name: "__Host-shop".into(), ..CookieSettings::default() };
//! let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).cookie_settings(cookie).build()?;
//! # Ok::<(), cloakroom::ConfigError>(())
//! ```

mod chunks;
mod exposure;
mod header;
pub(crate) mod old_name;
pub(crate) mod pre_session;
mod settings;
mod value_form;

use std::time::Duration;

use crate::error::ConfigError;

pub use settings::{CookieSettings, SameSite};

pub(crate) use chunks::{MAX_CANDIDATES, SentCookies, TokenCandidates, TooLarge};
pub(crate) use exposure::is_public;
pub(crate) use value_form::ValueForm;

/// Reads and writes the session cookie. Its settings are valid.
#[derive(Debug)]
pub(crate) struct Cookies {
    settings: CookieSettings,
    form: ValueForm,
    /// The attributes except `Max-Age`. A cookie is set and removed with the same attributes, because
    /// browsers remove a cookie only if name, domain and path match.
    attributes: String,
}

/// The longest `Max-Age` that browsers keep: 400 days (RFC 6265bis, 5.5).
pub(crate) const MAX_MAX_AGE: Duration = Duration::from_secs(400 * 24 * 3_600);

impl Cookies {
    pub(crate) fn new(settings: CookieSettings, form: ValueForm) -> Result<Self, ConfigError> {
        settings.validate()?;
        let attributes = settings.attributes();
        Ok(Self { settings, form, attributes })
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Returns the attributes of the cookie except `Max-Age`, as in `Path=/; HttpOnly`.
    pub(crate) fn attributes(&self) -> &str {
        self.attributes.trim_start_matches("; ")
    }

    /// Returns whether cookies end with the browser by default.
    pub(crate) fn browser_session(&self) -> bool {
        self.settings.browser_session
    }

    /// Returns whether the cookie has the attribute `Secure`.
    pub(crate) fn are_secure(&self) -> bool {
        self.settings.secure
    }

    /// Reads the values of the session cookie from the `Cookie` headers of a request. Ignores values of
    /// the wrong form.
    pub(crate) fn read<'h>(&self, headers: impl Iterator<Item = &'h [u8]>) -> TokenCandidates<'h> {
        TokenCandidates::read(headers, self.name(), self.form, self.settings.max_chunks)
    }

    /// Returns the `Set-Cookie` lines that set `value`, in one cookie or in chunks. They also remove the
    /// chunks among `sent` that the new value does not need. `sent` has the numbers of the chunks in the
    /// request.
    ///
    /// Without `max_age` the cookie ends with the browser. The caller has checked the length of the value
    /// with [`check_size`](Self::check_size).
    pub(crate) fn issue(&self, value: &str, max_age: Option<Duration>, sent: &[u8]) -> Vec<String> {
        let max_age = max_age_attribute(max_age);
        let overhead = max_age.len() + self.attributes.len();
        if sent.is_empty() && chunks::fits_one(value, self.name(), overhead) {
            return vec![[self.name(), "=", value, &max_age, &self.attributes].concat()];
        }
        let chunks = chunks::split(value, self.name(), overhead);
        let stale = sent.iter().filter(|number| usize::from(**number) > chunks.len());
        let removals = stale.map(|number| self.removal(Some(*number)));
        let issues = chunks.iter().map(|chunk| {
            let (name, attributes) = (self.name(), &self.attributes);
            match chunk.number {
                1 => format!("{name}={}{max_age}{attributes}", chunk.value),
                number => format!("{name}.{number}={}{max_age}{attributes}", chunk.value),
            }
        });
        issues.chain(removals).collect()
    }

    /// Checks that `value` fits into [`max_chunks`](CookieSettings::max_chunks) cookies.
    pub(crate) fn check_size(
        &self,
        value: &str,
        max_age: Option<Duration>,
    ) -> Result<(), TooLarge> {
        let overhead = max_age_attribute(max_age).len() + self.attributes.len();
        chunks::check_size(value, self.name(), overhead, self.settings.max_chunks)
    }

    /// Returns the `Set-Cookie` lines that remove the cookie and the chunks `sent` with the request.
    pub(crate) fn remove(&self, sent: &[u8]) -> Vec<String> {
        let chunks = sent.iter().map(|number| self.removal(Some(*number)));
        std::iter::once(self.removal(None)).chain(chunks).collect()
    }

    fn removal(&self, chunk: Option<u8>) -> String {
        let number = chunk.map(|number| format!(".{number}")).unwrap_or_default();
        let (name, attributes) = (self.name(), &self.attributes);
        format!("{name}{number}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{attributes}")
    }
}

/// Returns the value of the cookie `name`. Returns `None` if a request has different values of it, because
/// their order does not show which one a neighbouring domain has planted.
pub(crate) fn only_value<'h>(
    headers: impl Iterator<Item = &'h [u8]>,
    name: &str,
) -> Option<&'h [u8]> {
    let mut values = values(headers, name);
    let value = values.next()?;
    values.all(|other| other == value).then_some(value)
}

/// Returns the values of all cookies of this name, in the order of the headers.
pub(crate) fn values<'h>(
    headers: impl Iterator<Item = &'h [u8]>,
    name: &str,
) -> impl Iterator<Item = &'h [u8]> {
    header::pairs(headers)
        .filter(move |(found, _)| *found == name.as_bytes())
        .map(|(_, value)| value)
}

/// Returns the attribute `Max-Age`, or an empty text if the cookie has none.
fn max_age_attribute(max_age: Option<Duration>) -> String {
    let seconds = max_age.map(|max_age| whole_seconds(max_age.min(MAX_MAX_AGE)));
    seconds.map(|seconds| format!("; Max-Age={seconds}")).unwrap_or_default()
}

/// Rounds up to seconds, because a cookie must not expire before its session.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
