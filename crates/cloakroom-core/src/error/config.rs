//! The error of settings.

use std::fmt;

/// A setting that cannot be used, such as a cookie name that browsers refuse or a timeout of zero.
///
/// [`SessionsBuilder::build`](crate::SessionsBuilder::build) and
/// [`CookieSettings::validate`](crate::cookie::CookieSettings::validate) return it.
/// The message names the setting and the accepted values. The names are those of the settings file:
/// `cookie_name`, `cookie.path`, `idle_timeout`.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::cookie::CookieSettings;
///
/// let settings = CookieSettings { max_chunks: 17, ..CookieSettings::default() };
/// let error = settings.validate().unwrap_err();
/// assert_eq!(error.to_string(), "cookie.max_chunks: 1 to 16 are accepted");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    rule: &'static str,
}

impl ConfigError {
    pub(crate) fn new(rule: &'static str) -> Self {
        Self { rule }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule)
    }
}

impl std::error::Error for ConfigError {}
