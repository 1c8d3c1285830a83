//! Settings from `config/session.toml` and the environment.
//!
//! Every key can be set in the file, and each by an environment variable, which wins. Both are
//! strict: an unknown key, a value of the wrong type and a contradiction are errors at start that
//! name the place, the key and what is accepted. The application key is never in the file. In
//! development a file `.env` stands in for variables that are not set.
//!
//! ```no_run
//! use cloakroom_settings::Settings;
//!
//! let sessions = Settings::load(None)?.sessions()?;
//! # Ok::<(), cloakroom_settings::SettingsError>(())
//! ```

#![cfg_attr(docsrs, feature(doc_cfg))]

mod build;
mod error;
#[cfg(all(unix, feature = "file"))]
mod file;
mod load;
#[cfg(feature = "redis")]
mod redis;
mod template;
mod values;

use std::{path::PathBuf, time::Duration};

use confique::Config;

pub use error::SettingsError;
pub use load::DotEnv;
pub use values::{DriverKind, FileDurability, MaxSessions, RedisMode, Secret};

use cloakroom_core::{cookie::SameSite, form::SecretFields};

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

    /// The cookie's name. Unless set, `__Host-session`, which no other host can set; with a
    /// `cookie.domain` `__Secure-session`, and where `cookie.secure` is off `session`, because browsers
    /// accept the prefixes on such cookies alone.
    #[config(env = "SESSION_COOKIE_NAME")]
    pub cookie_name: Option<String>,

    /// Whether the cookie ends with the browser. The session's own deadlines hold either way.
    #[config(default = false, env = "SESSION_BROWSER_SESSION")]
    pub browser_session: bool,

    /// The idle timeout: a session that is not used for this long ends. `"90s"`, `"2h"`, `"10d"`,
    /// or a number of seconds; at least one second. Longer is more convenient and gives a stolen
    /// session more time.
    #[config(default = "2h", env = "SESSION_IDLE_TIMEOUT", deserialize_with = values::timeout)]
    pub idle_timeout: Duration,

    /// The absolute timeout: a session ends this long after it began, however busy it is. At least
    /// one second; none unless set.
    #[config(env = "SESSION_ABSOLUTE_TIMEOUT", deserialize_with = values::timeout)]
    pub absolute_timeout: Option<Duration>,

    /// How many bytes the record of a session may have in a store. A change that makes it larger is
    /// an error, and the session stays as it is. The cookie driver has `cookie.max_chunks`.
    #[config(default = 262_144, env = "SESSION_MAX_BYTES", deserialize_with = values::bytes)]
    pub max_bytes: usize,

    /// How many sessions an owner may have at once on a server-side driver, more than 0. A sign-in
    /// beyond that ends the one that was not used for the longest time. `"none"` lifts the limit;
    /// each session more takes room in the store and time in the owner's list.
    #[config(default = 100, env = "SESSION_MAX_SESSIONS")]
    pub max_sessions: MaxSessions,

    /// How long a commit may wait for other writers of its session and for the store.
    #[config(default = "5s", env = "SESSION_COMMIT_DEADLINE", deserialize_with = values::span)]
    pub commit_deadline: Duration,

    /// Fields of forms that `flash_all` leaves out: by the words of their names, as `card_number`, with
    /// an asterisk for the rest of a word, as `otp*`, or between asterisks by what stands anywhere in
    /// them, as `*passw*`. This list takes the place of the default; in the environment it has commas
    /// between. The CSRF field is always left out.
    #[config(
        default = [
            "*passw*", "*secret*", "*token*", "*cvv*", "*cvc*", "otp*", "*otp", "pin", "*pin_code*",
            "*user_pin", "*card_pin", "*new_pin", "*old_pin", "*my_pin", "*card_number*",
            "*cards_number*", "*api_key*",
        ],
        env = "SESSION_SECRET_FIELDS",
        deserialize_with = values::secret_fields
    )]
    pub secret_fields: SecretFields,

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

/// The cookie's attributes.
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

    /// What survives a loss of power: `full`, every commit that was acknowledged, or `fast`, what the
    /// operating system had written by then. A crash of the application loses nothing either way.
    /// `fast` saves each commit two waits for the disk.
    #[config(default = "full", env = "SESSION_FILE_DURABILITY")]
    pub durability: FileDurability,
}

/// The Redis driver's settings: a URL, or its parts; for Sentinel and Cluster their nodes.
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
    #[config(env = "SESSION_REDIS_HOST")]
    pub host: Option<String>,

    /// The server's port, in place of `url`.
    #[config(env = "SESSION_REDIS_PORT")]
    pub port: Option<u16>,

    /// The user of Redis's access control list. None unless set: the default user.
    #[config(env = "SESSION_REDIS_USER")]
    pub user: Option<String>,

    /// The password, in place of `url`.
    #[config(env = "SESSION_REDIS_PASSWORD")]
    pub password: Option<Secret>,

    /// The number of the database, in place of `url`. A cluster has number 0 alone.
    #[config(env = "SESSION_REDIS_DB")]
    pub db: Option<u32>,

    /// Whether connections are encrypted (TLS) where `nodes` or `host` name the servers; a URL says
    /// so by its scheme.
    #[config(default = false, env = "SESSION_REDIS_TLS")]
    pub tls: bool,

    /// A file with the certificates (PEM) that servers are checked against. None unless set: the
    /// operating system's.
    #[config(env = "SESSION_REDIS_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// What stands behind the address: one server, `standalone`; servers of which Sentinels say
    /// which is the master, `sentinel`; or a `cluster`.
    #[config(default = "standalone", env = "SESSION_REDIS_MODE")]
    pub mode: RedisMode,

    /// The Sentinels, or some nodes of the cluster: `["10.0.0.1:26379", "10.0.0.2:26379"]`, in the
    /// environment with commas between.
    #[config(env = "SESSION_REDIS_NODES", deserialize_with = values::list)]
    pub nodes: Option<Vec<String>>,

    /// The name that the Sentinels have for the servers.
    #[config(default = "mymaster", env = "SESSION_REDIS_MASTER")]
    pub master: String,

    /// The Sentinels' own password, where they have one.
    #[config(env = "SESSION_REDIS_SENTINEL_PASSWORD")]
    pub sentinel_password: Option<Secret>,

    /// What every key begins with. Of two applications with the same prefix in one database each reads
    /// the sessions of its own `APP_KEY` alone, and `cloakroom list` shows both; `cloakroom install` writes
    /// the package's name into it.
    #[config(default = "session:", env = "SESSION_REDIS_KEY_PREFIX")]
    pub key_prefix: String,

    /// How long connecting may take before a request is answered with an error.
    #[config(default = "1s", env = "SESSION_REDIS_CONNECT_TIMEOUT", deserialize_with = values::span)]
    pub connect_timeout: Duration,

    /// How long an answer may take before a request is answered with an error.
    #[config(default = "500ms", env = "SESSION_REDIS_COMMAND_TIMEOUT", deserialize_with = values::span)]
    pub command_timeout: Duration,

    /// Whether records that were read are kept in this process's memory until Redis says that they
    /// changed. Reads then cost no round trip; a session that another server ends may be read here
    /// for as long as that message takes, at most 5 seconds.
    #[config(default = false, env = "SESSION_REDIS_NEAR_CACHE")]
    pub near_cache: bool,

    /// How many bytes of memory the near cache may take. Sessions that were not used for the longest
    /// time leave first. Less saves memory and costs more reads from Redis.
    #[config(default = 67_108_864, env = "SESSION_REDIS_NEAR_CACHE_BYTES", deserialize_with = values::bytes)]
    pub near_cache_bytes: usize,

    /// So many replicas have to have a logout or a new token before it is acknowledged, so that no
    /// fail-over undoes it. Costs a round trip to the slowest of them.
    #[config(default = 0, env = "SESSION_REDIS_WAIT_REPLICAS")]
    pub wait_replicas: u32,
}

#[cfg(test)]
mod tests;
