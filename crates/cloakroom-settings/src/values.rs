//! How single values are written.

use std::{
    fmt,
    num::NonZeroUsize,
    time::{Duration, SystemTime},
};

use serde::{
    Deserialize, Deserializer,
    de::{Error, IgnoredAny},
};
use zeroize::Zeroizing;

use cloakroom_core::{
    DeviceBinding, MIN_TIMEOUT, Origin, SiteData, adapter::is_header_name, cookie::SameSite,
    form::SecretFields,
};

/// The place where sessions are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriverKind {
    /// The visitor's cookie, sealed.
    Cookie,
    /// Files on this machine.
    File,
    /// Redis.
    Redis,
    /// This process's memory.
    Memory,
    /// Tables in PostgreSQL.
    Postgres,
    /// Tables in MariaDB or MySQL.
    MySql,
    /// Tables in an SQLite file.
    Sqlite,
}

impl DriverKind {
    /// Returns the word that the settings have for this driver.
    ///
    /// ```
    /// use cloakroom_settings::DriverKind;
    ///
    /// assert_eq!(DriverKind::Redis.name(), "redis");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::File => "file",
            Self::Redis => "redis",
            Self::Memory => "memory",
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
            Self::Sqlite => "sqlite",
        }
    }
}

impl<'de> Deserialize<'de> for DriverKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let drivers = [
            Self::Cookie,
            Self::Memory,
            Self::File,
            Self::Redis,
            Self::Postgres,
            Self::MySql,
            Self::Sqlite,
        ];
        choice(deserializer, &drivers.map(|driver| (driver.name(), driver)))
    }
}

/// How the `postgres` driver sends statements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DatabaseStatements {
    /// Prepared once for each connection.
    Prepared,
    /// As text with the values in it.
    Simple,
}

impl<'de> Deserialize<'de> for DatabaseStatements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        choice(deserializer, &[("prepared", Self::Prepared), ("simple", Self::Simple)])
    }
}

/// The changes on the drivers `file` and `sqlite` that survive a loss of power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Durability {
    /// All commits that were acknowledged.
    Full,
    /// The commits that the operating system had written.
    Fast,
}

impl<'de> Deserialize<'de> for Durability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        choice(deserializer, &[("full", Self::Full), ("fast", Self::Fast)])
    }
}

/// The kind of Redis servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RedisMode {
    /// One server.
    Standalone,
    /// A master and its replicas, watched by Sentinels.
    Sentinel,
    /// A cluster.
    Cluster,
}

impl<'de> Deserialize<'de> for RedisMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let modes = [
            ("standalone", Self::Standalone),
            ("sentinel", Self::Sentinel),
            ("cluster", Self::Cluster),
        ];
        choice(deserializer, &modes)
    }
}

/// A setting that is never shown. It is wiped from memory when it is dropped, and `Debug` leaves it out.
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
pub struct Secret {
    text: Zeroizing<String>,
    /// The place where it was set, if it is a variable.
    place: Option<String>,
}

impl Secret {
    /// Returns the text.
    ///
    /// ```
    /// use cloakroom_settings::Secret;
    ///
    /// assert_eq!(Secret::from("hunter2".to_owned()).expose(), "hunter2");
    /// ```
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Keeps the place where it was set, for errors.
    pub(super) fn set_at(self, place: &str) -> Self {
        Self { place: Some(place.to_owned()), ..self }
    }

    pub(super) fn place(&self) -> Option<&str> {
        self.place.as_deref()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self { text: Zeroizing::new(text), place: None }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// The forms of a value that can be a whole number or text.
#[derive(Deserialize)]
#[serde(untagged)]
enum NumberOrText {
    Number(u64),
    Text(String),
    Other(IgnoredAny),
}

/// The forms of a value that can be a list or text.
#[derive(Deserialize)]
#[serde(untagged)]
enum ListOrText {
    List(Vec<String>),
    Text(String),
    Other(IgnoredAny),
}

/// The forms of a moment: a date of TOML, or text.
#[derive(Deserialize)]
#[serde(untagged)]
enum DateOrText {
    Date(toml::value::Datetime),
    Text(String),
    Other(IgnoredAny),
}

/// Returns an error that says what is accepted.
fn expected<E: Error>(accepted: impl fmt::Display) -> E {
    E::custom(format!("expected {accepted}"))
}

/// Reads one of several words, in upper or lower case.
fn choice<'de, D: Deserializer<'de>, T: Copy>(
    deserializer: D,
    choices: &[(&str, T)],
) -> Result<T, D::Error> {
    let text = match NumberOrText::deserialize(deserializer)? {
        NumberOrText::Text(text) => text,
        NumberOrText::Number(_) | NumberOrText::Other(_) => String::new(),
    };
    let chosen = choices.iter().find(|(word, _)| word.eq_ignore_ascii_case(&text));
    chosen.map(|(_, choice)| *choice).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
        let (last, others) =
            words.split_last().map_or(("", &[][..]), |(last, others)| (last, others));
        expected(format!("{} or {last}", others.join(", ")))
    })
}

/// Reads a span of time above zero: `"2h"`, `"1h 30m"`, or a number of seconds.
pub(super) fn span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let span = any_span(deserializer)?.filter(|span| !span.is_zero());
    span.ok_or_else(|| expected(format!("{SPAN}, more than 0")))
}

/// Reads the timeout of a session.
pub(super) fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let span = any_span(deserializer)?.filter(|span| *span >= MIN_TIMEOUT);
    span.ok_or_else(|| expected(format!("{SPAN}, at least one second")))
}

const SPAN: &str = "a span such as \"90s\", \"2h\" or \"10d\", or a number of seconds";

fn any_span<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    Ok(match NumberOrText::deserialize(deserializer)? {
        NumberOrText::Number(seconds) => Some(Duration::from_secs(seconds)),
        NumberOrText::Text(text) => humantime::parse_duration(&text).ok(),
        NumberOrText::Other(_) => None,
    })
}

/// Reads the beginning of a day, or a moment, in UTC.
pub(super) fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SystemTime, D::Error> {
    let text = match DateOrText::deserialize(deserializer)? {
        DateOrText::Date(date) => date.to_string(),
        DateOrText::Text(text) => text,
        DateOrText::Other(_) => String::new(),
    };
    let day = humantime::parse_rfc3339_weak(&format!("{text}T00:00:00Z"));
    day.or_else(|_| humantime::parse_rfc3339(&text)).map_err(|_| {
        expected("a day such as \"2027-03-01\", or a moment such as \"2027-03-01T12:00:00Z\"")
    })
}

/// Reads a whole number that `accept` accepts.
fn number<'de, D: Deserializer<'de>, T: TryFrom<u64>>(
    deserializer: D,
    accept: impl FnOnce(&T) -> bool,
    accepted: &str,
) -> Result<T, D::Error> {
    let number = u64::deserialize(deserializer).ok().and_then(|number| T::try_from(number).ok());
    number.filter(accept).ok_or_else(|| expected(accepted))
}

/// Reads a number of bytes, more than 0.
pub(super) fn bytes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    number(deserializer, |bytes| *bytes > 0, "a number of bytes, more than 0")
}

/// Reads a number of cookies.
pub(super) fn chunks<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    number(deserializer, |chunks| (1..=16).contains(chunks), "a number from 1 to 16")
}

/// Reads the port of a server.
pub(super) fn port<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u16, D::Error> {
    number(deserializer, |port| *port > 0, "a port, 1 to 65535")
}

/// Reads the size of a pool.
pub(super) fn connections<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    number(deserializer, |connections| *connections > 0, "a number of connections, more than 0")
}

/// Reads a number that may be 0.
pub(super) fn count<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    number(deserializer, |_| true, "a whole number, 0 or more")
}

/// The limit of an owner's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MaxSessions {
    /// At most this number.
    Limited(NonZeroUsize),
    /// Any number.
    Unlimited,
}

impl MaxSessions {
    /// Returns the limit, or `None` if there is no limit.
    ///
    /// ```
    /// use cloakroom_settings::MaxSessions;
    ///
    /// assert_eq!(MaxSessions::Unlimited.limit(), None);
    /// ```
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
        let number = match NumberOrText::deserialize(deserializer)? {
            NumberOrText::Text(text) if text == "none" => return Ok(Self::Unlimited),
            NumberOrText::Number(number) => usize::try_from(number).ok(),
            NumberOrText::Text(_) | NumberOrText::Other(_) => None,
        };
        number
            .and_then(NonZeroUsize::new)
            .map(Self::Limited)
            .ok_or_else(|| expected("a number of sessions, more than 0, or \"none\""))
    }
}

/// Reads a list of strings, or one string with commas between the items, as the environment has it.
pub(super) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    match ListOrText::deserialize(deserializer)? {
        ListOrText::List(list) => Ok(list),
        ListOrText::Text(text) => Ok(text.split(',').map(|item| item.trim().to_owned()).collect()),
        ListOrText::Other(_) => {
            Err(expected("a list of strings, or one string with commas between the items"))
        }
    }
}

/// Reads a list of servers, written as [`list`] reads it.
pub(super) fn nodes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Secret>, D::Error> {
    Ok(list(deserializer)?.into_iter().map(Secret::from).collect())
}

/// Reads a list of patterns, written as [`list`] reads it.
pub(super) fn secret_fields<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<SecretFields, D::Error> {
    SecretFields::new(list(deserializer)?).map_err(D::Error::custom)
}

/// Reads an origin.
pub(super) fn origin<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Origin, D::Error> {
    match NumberOrText::deserialize(deserializer)? {
        NumberOrText::Text(text) => text.parse().map_err(D::Error::custom),
        NumberOrText::Number(_) | NumberOrText::Other(_) => {
            Err(expected("an origin such as \"https://shop.example.org\""))
        }
    }
}

/// Reads a list of origins, written as [`list`] reads it.
pub(super) fn origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Origin>, D::Error> {
    let parse = |text: String| text.parse().map_err(D::Error::custom);
    list(deserializer)?.into_iter().map(parse).collect()
}

/// Reads a list of words for data of a site, written as [`list`] reads it.
pub(super) fn site_data<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<SiteData>, D::Error> {
    let all = [SiteData::Cache, SiteData::Storage, SiteData::Cookies, SiteData::All];
    let parse = |word: String| all.into_iter().find(|data| data.directive() == word);
    let read: Option<_> = list(deserializer)?.into_iter().map(parse).collect();
    read.ok_or_else(|| expected("a list of `cache`, `storage`, `cookies` or `*`"))
}

/// Reads the name of a header.
pub(super) fn header_name<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let name = String::deserialize(deserializer)?;
    if is_header_name(&name) {
        Ok(name)
    } else {
        Err(expected("the name of a header, such as \"x-background\""))
    }
}

/// Reads `lax`, `strict` or `none`.
pub(super) fn same_site<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SameSite, D::Error> {
    let choices = [("lax", SameSite::Lax), ("strict", SameSite::Strict), ("none", SameSite::None)];
    choice(deserializer, &choices)
}

/// Reads `off`, `report`, `sensitive` or `require`.
pub(super) fn device_binding<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<DeviceBinding, D::Error> {
    let choices = [
        ("off", DeviceBinding::Off),
        ("report", DeviceBinding::Report),
        ("sensitive", DeviceBinding::Sensitive),
        ("require", DeviceBinding::Require),
    ];
    choice(deserializer, &choices)
}
