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
    key: &'static str,
    accepted: &'static str,
}

impl ConfigError {
    pub(crate) fn new(key: &'static str, accepted: &'static str) -> Self {
        Self { key, accepted }
    }

    /// Names the settings of the old cookie instead of those of the session cookie.
    pub(crate) fn of_old_cookie(self) -> Self {
        Self { key: "old_cookie_name", ..self }
    }

    /// Returns the name of the setting in the settings file, such as `cookie.path`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::cookie::CookieSettings;
    ///
    /// let settings = CookieSettings { max_chunks: 17, ..CookieSettings::default() };
    /// let error = settings.validate().unwrap_err();
    /// assert_eq!((error.key(), error.accepted()), ("cookie.max_chunks", "1 to 16 are accepted"));
    /// ```
    pub fn key(&self) -> &'static str {
        self.key
    }

    /// Returns the sentence that says what is accepted, without the name of the setting.
    pub fn accepted(&self) -> &'static str {
        self.accepted
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.accepted)
    }
}

impl std::error::Error for ConfigError {}
