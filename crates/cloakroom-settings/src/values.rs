//! How single values are written.

use std::{fmt, num::NonZeroUsize, time::Duration};

use serde::{Deserialize, Deserializer, de::Error};
use zeroize::Zeroizing;

use cloakroom_core::{MIN_TIMEOUT, cookie::SameSite, form::SecretFields};

/// Where sessions live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum DriverKind {
    /// In the visitor's cookie, sealed.
    Cookie,
    /// In files on this machine.
    File,
    /// In Redis.
    Redis,
    /// In this process's memory.
    Memory,
}

impl DriverKind {
    /// The word in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::File => "file",
            Self::Redis => "redis",
            Self::Memory => "memory",
        }
    }
}

/// What of the file driver survives a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum FileDurability {
    /// Every commit that was acknowledged.
    Full,
    /// What the operating system had written by then.
    Fast,
}

/// What stands behind the address of Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RedisMode {
    /// One server.
    Standalone,
    /// Servers of which Sentinels say which is the master.
    Sentinel,
    /// A cluster.
    Cluster,
}

/// A setting that is not to be shown: wiped from memory when dropped, silent in `Debug`.
///
/// ```
/// use cloakroom_settings::Secret;
///
/// let secret = Secret::from("hunter2".to_owned());
/// assert_eq!(format!("{secret:?}"), "Secret(…)");
/// assert_eq!(secret.expose(), "hunter2");
/// ```
#[derive(Clone, Deserialize)]
#[serde(from = "String")]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The setting itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Reads a span of time: `"2h"`, `"1h 30m"`, or a number of seconds; more than none.
pub(super) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let span = any_span(deserializer)?.filter(|span| !span.is_zero());
    span.ok_or_else(|| D::Error::custom(format!("{SPAN}, more than 0 is accepted")))
}

/// Reads the timeout of a session.
pub(super) fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let span = any_span(deserializer)?.filter(|span| *span >= MIN_TIMEOUT);
    span.ok_or_else(|| D::Error::custom(format!("{SPAN}, at least one second is accepted")))
}

const SPAN: &str = "a span such as \"90s\", \"2h\" or \"10d\", or a number of seconds";

fn any_span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(u64),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Written::deserialize(deserializer)? {
        Written::Seconds(seconds) => Some(Duration::from_secs(seconds)),
        Written::Text(text) => humantime::parse_duration(&text).ok(),
        Written::Other(_) => None,
    })
}

/// Reads a number of bytes, more than 0.
pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let bytes = usize::deserialize(deserializer);
    let bytes = bytes.ok().filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| D::Error::custom("a number of bytes, more than 0, is accepted"))
}

/// How many sessions an owner may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MaxSessions {
    /// At most so many.
    Limited(NonZeroUsize),
    /// Any number.
    Unlimited,
}

impl MaxSessions {
    /// The limit, if there is one.
    pub fn limit(self) -> Option<usize> {
        match self {
            Self::Limited(limit) => Some(limit.get()),
            Self::Unlimited => None,
        }
    }
}

/// Reads a number of sessions, more than 0, or `none`.
impl<'de> Deserialize<'de> for MaxSessions {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(usize),
            Text(String),
            Other(serde::de::IgnoredAny),
        }
        let number = match Written::deserialize(deserializer)? {
            Written::Text(text) if text == "none" => return Ok(Self::Unlimited),
            Written::Number(number) => Some(number),
            Written::Text(_) | Written::Other(_) => None,
        };
        number.and_then(NonZeroUsize::new).map(Self::Limited).ok_or_else(|| {
            D::Error::custom("a number of sessions, more than 0, or \"none\" is accepted")
        })
    }
}

/// A list of strings, or one string with commas between them, as the environment has it.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        List(Vec<String>),
        Text(String),
        Other(serde::de::IgnoredAny),
    }
    match Written::deserialize(deserializer)? {
        Written::List(list) => Ok(list),
        Written::Text(text) => Ok(text.split(',').map(|item| item.trim().to_owned()).collect()),
        Written::Other(_) => Err(D::Error::custom(
            "a list of strings, or one string with commas between, is accepted",
        )),
    }
}

/// A list of patterns, as [`list`] reads it.
pub(super) fn secret_fields<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SecretFields, D::Error> {
    SecretFields::new(list(deserializer)?).map_err(D::Error::custom)
}

/// `lax`, `strict` or `none`, in any case.
pub(super) fn same_site<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SameSite, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.to_ascii_lowercase().as_str() {
        "lax" => Ok(SameSite::Lax),
        "strict" => Ok(SameSite::Strict),
        "none" => Ok(SameSite::None),
        _ => Err(D::Error::custom("`lax`, `strict` or `none` is accepted")),
    }
}
