//! The session's cookie: its settings, how it is found in a request and written into a response.

mod chunks;
mod exposure;
mod header;
pub(crate) mod pre_session;
mod settings;
mod value_form;

use std::time::Duration;

pub use settings::{CookieError, CookieSettings, SameSite};

pub(crate) use chunks::{TokenCandidates, TooLarge};
pub(crate) use exposure::is_public;
pub(crate) use value_form::ValueForm;

/// The session's cookie, by settings that were checked.
#[derive(Debug)]
pub(crate) struct Cookies {
    settings: CookieSettings,
    form: ValueForm,
    /// Everything after value and `Max-Age`: the same for issue and removal, or browsers would not
    /// take one for the other.
    attributes: String,
}

/// The longest age that browsers keep (RFC 6265bis, 5.5): 400 days.
const MAX_MAX_AGE: Duration = Duration::from_secs(400 * 24 * 3_600);

impl Cookies {
    pub(crate) fn new(settings: CookieSettings, form: ValueForm) -> Result<Self, CookieError> {
        settings.validate()?;
        let attributes = settings.attributes();
        Ok(Self { settings, form, attributes })
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// Whether cookies end with the browser unless more is asked for.
    pub(crate) fn browser_session(&self) -> bool {
        self.settings.browser_session
    }

    /// Whether the cookie is for https alone.
    pub(crate) fn are_secure(&self) -> bool {
        self.settings.secure
    }

    /// The values of this cookie in a request's `Cookie` headers that have the form of ours.
    pub(crate) fn read<'h>(&self, headers: impl Iterator<Item = &'h [u8]>) -> TokenCandidates<'h> {
        TokenCandidates::read(headers, self.name(), self.form, self.settings.max_chunks)
    }

    /// The lines that give the visitor `value` for `idle_timeout`, or until the browser is closed, in as many
    /// cookies as it takes, and remove the chunks among `presented` that are no longer needed. Whether
    /// it may take so many is checked [before](Self::check_size).
    pub(crate) fn issue(
        &self,
        value: &str,
        age: Option<Duration>,
        presented: &[u8],
    ) -> Vec<String> {
        let max_age = max_age(age);
        let overhead = max_age.len() + self.attributes.len();
        if presented.is_empty() && chunks::fits_one(value, self.name(), overhead) {
            return vec![[self.name(), "=", value, &max_age, &self.attributes].concat()];
        }
        let chunks = chunks::split(value, self.name(), overhead);
        let stale = presented.iter().filter(|number| usize::from(**number) > chunks.len());
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

    /// Checks that `value` fits into the cookies that it may take.
    pub(crate) fn check_size(&self, value: &str, age: Option<Duration>) -> Result<(), TooLarge> {
        let overhead = max_age(age).len() + self.attributes.len();
        chunks::check_size(value, self.name(), overhead, self.settings.max_chunks)
    }

    /// The lines that remove the cookie and the chunks among `presented`.
    pub(crate) fn remove(&self, presented: &[u8]) -> Vec<String> {
        let chunks = presented.iter().map(|number| self.removal(Some(*number)));
        std::iter::once(self.removal(None)).chain(chunks).collect()
    }

    fn removal(&self, chunk: Option<u8>) -> String {
        let number = chunk.map(|number| format!(".{number}")).unwrap_or_default();
        let (name, attributes) = (self.name(), &self.attributes);
        format!("{name}{number}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{attributes}")
    }
}

/// Returns the attribute `Max-Age`, if the cookie has one.
fn max_age(age: Option<Duration>) -> String {
    let age = age.map(|age| whole_seconds(age.min(MAX_MAX_AGE)));
    age.map(|age| format!("; Max-Age={age}")).unwrap_or_default()
}

/// Rounded up: a cookie may outlive its session by a second, never the other way round.
fn whole_seconds(age: Duration) -> u64 {
    age.as_secs() + u64::from(age.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
