//! Settings from `config/session.toml` and the environment.
//!
//! Every key can be set in the file, and each by an environment variable, which wins. Both are
//! strict: an unknown key, a value of the wrong type and a contradiction are errors at start that
//! name the place, the key and what is accepted. The application key is never in the file.
//!
//! ```no_run
//! use cloakroom::settings::Settings;
//!
//! let sessions = Settings::load(None)?.sessions()?;
//! # Ok::<(), cloakroom::settings::SettingsError>(())
//! ```

mod build;
mod error;
mod load;
mod values;

use std::{path::PathBuf, time::Duration};

use confique::Config;

pub use error::SettingsError;
pub use values::{DriverKind, Secret};

use crate::cookie::SameSite;

/// What an application's sessions are set to.
#[derive(Clone, Debug, Config)]
#[config(layer_attr(derive(Debug)))]
#[config(layer_attr(serde(deny_unknown_fields)))]
#[non_exhaustive]
pub struct Settings {
    /// Where sessions live: `cookie`, `memory`, `file` or `redis`. The cookie driver needs nothing;
    /// the others keep concurrent requests from losing changes and make logout final.
    #[config(default = "cookie", env = "SESSION_DRIVER")]
    pub driver: DriverKind,

    /// The cookie's name. Unless set, `__Host-session`, or `session` where `cookie.secure` is off:
    /// browsers accept the prefix on secure cookies alone.
    #[config(env = "SESSION_COOKIE_NAME")]
    pub cookie_name: Option<String>,

    /// Whether the cookie ends with the browser. The session's own deadlines hold either way.
    #[config(default = false, env = "SESSION_CLEAR_WITH_BROWSER")]
    pub clear_with_browser: bool,

    /// The idle timeout: a session that is not used for this long ends. `"90s"`, `"2h"`, `"10d"`,
    /// or a number of seconds. Longer is more convenient and gives a stolen session more time.
    #[config(default = "2h", env = "SESSION_AGE", deserialize_with = values::span)]
    pub age: Duration,

    /// The absolute lifetime: a session ends this long after it began, however busy it is. None
    /// unless set.
    #[config(env = "SESSION_LIFETIME", deserialize_with = values::span)]
    pub lifetime: Option<Duration>,

    /// The cookie's attributes.
    #[config(nested)]
    pub cookie: CookieTable,

    /// The file driver.
    #[config(nested)]
    pub file: FileTable,

    /// The Redis driver.
    #[config(nested)]
    pub redis: RedisTable,

    /// The application's keys, newest first: from the environment alone, never from the file.
    #[config(env = "APP_KEY", layer_attr(serde(skip_deserializing)))]
    pub app_key: Option<Secret>,
}

/// The cookie's attributes; see [`CookieSettings`](crate::cookie::CookieSettings) for what each is
/// good for.
#[derive(Clone, Debug, Config)]
#[config(layer_attr(derive(Debug)))]
#[config(layer_attr(serde(deny_unknown_fields)))]
#[non_exhaustive]
pub struct CookieTable {
    /// Whether browsers send the cookie over https only. Turn it off for plain http on localhost,
    /// and nowhere else.
    #[config(default = true, env = "SESSION_COOKIE_SECURE")]
    pub secure: bool,

    /// Whether scripts are kept from reading the cookie.
    #[config(default = true, env = "SESSION_COOKIE_HTTP_ONLY")]
    pub http_only: bool,

    /// Which requests of other sites carry the cookie: `lax`, `strict` or `none`.
    #[config(default = "lax", env = "SESSION_COOKIE_SAME_SITE", deserialize_with = values::same_site)]
    pub same_site: SameSite,

    /// The path below which browsers send the cookie.
    #[config(default = "/", env = "SESSION_COOKIE_PATH")]
    pub path: String,

    /// The domain whose subdomains get the cookie as well. None unless set: this host alone.
    #[config(env = "SESSION_COOKIE_DOMAIN")]
    pub domain: Option<String>,

    /// How many cookies of about 4 kB a session on the cookie driver may take, 1 to 16.
    #[config(default = 4, env = "SESSION_COOKIE_MAX_CHUNKS")]
    pub max_chunks: u8,
}

/// The file driver's settings.
#[derive(Clone, Debug, Config)]
#[config(layer_attr(derive(Debug)))]
#[config(layer_attr(serde(deny_unknown_fields)))]
#[non_exhaustive]
pub struct FileTable {
    /// The folder of the session files. Outside of what the web server serves.
    #[config(default = "tmp/sessions", env = "SESSION_FILE_LOCATION")]
    pub location: PathBuf,
}

/// The Redis driver's settings: a URL, or its parts.
#[derive(Clone, Debug, Config)]
#[config(layer_attr(derive(Debug)))]
#[config(layer_attr(serde(deny_unknown_fields)))]
#[non_exhaustive]
pub struct RedisTable {
    /// `redis://user:password@host:port/db`, or `rediss://` for TLS. Unless set, the parts below
    /// or `redis://127.0.0.1:6379/0`.
    #[config(env = "SESSION_REDIS_URL")]
    pub url: Option<Secret>,

    /// The server's name or address, in place of `url`.
    pub host: Option<String>,

    /// The server's port, in place of `url`.
    pub port: Option<u16>,

    /// The password, in place of `url`.
    pub password: Option<Secret>,

    /// The number of the database, in place of `url`.
    pub db: Option<u32>,

    /// What every key begins with, so that applications can share a server.
    #[config(default = "session:", env = "SESSION_REDIS_KEY_PREFIX")]
    pub key_prefix: String,
}

#[cfg(test)]
mod tests;
