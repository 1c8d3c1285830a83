//! Loads the settings of `cloakroom` sessions from `config/session.toml` and the environment.
//!
//! ```no_run
//! use cloakroom_settings::Settings;
//!
//! let sessions = Settings::load(None)?.sessions()?;
//! # Ok::<(), cloakroom_settings::SettingsError>(())
//! ```
//!
//! # Where a setting comes from
//! 1. The environment variable, such as `SESSION_IDLE_TIMEOUT`. An empty variable counts as unset.
//! 2. In development ([`Settings::load_for_development`]), the same variable in the file `.env`.
//! 3. The key in `config/session.toml`, such as `idle_timeout`. [`Settings::template`] returns this
//!    file with every key, its meaning, its variable and its default. [`Settings::load_from`] reads the
//!    same keys from a part of the application's own settings instead, such as a YAML file.
//! 4. The default.
//!
//! The application key is the exception: `APP_KEY` only comes from a variable, because the file is committed
//! with the code.
//!
//! # What is an error
//! Wrong settings fail at start. The error names the file and line, or the variable and where it was
//! set, and says what is accepted. It quotes the value, unless the value may hold a password.
//! - A key that is not a setting.
//! - A variable whose name is at most two letters away from a setting's, such as `SESSION_DRVIER`, or
//!   that begins with a table's prefix: `SESSION_COOKIE_`, `SESSION_FILE_`, `SESSION_REDIS_`,
//!   `SESSION_DATABASE_`.
//!   Otherwise a typing error would start the application with a default. Every other unknown
//!   `SESSION_` name is a warning in the log, because it may belong to another program or to the
//!   application. `SESSION_MANAGER`, which the X Window System sets, is not even a warning.
//! - A name from an older version, such as `SESSION_AGE`. The error gives the new name.
//! - A value of the wrong type or out of range.
//! - Settings that contradict each other.
//!
//! # How values are written
//! In the file as TOML. In the environment as text: booleans as `true`, `1`, `yes`, `on` or `false`,
//! `0`, `no`, `off` in any case, lists with commas between the items, spans of time as `90s`, `2h` or
//! `10d`, or as a number of seconds.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod build;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
mod database;
mod document;
mod error;
#[cfg(all(unix, feature = "file"))]
mod file;
mod load;
mod names;
mod origins;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "redis", feature = "sqlite"))]
mod refused;
mod template;
mod values;
mod variables;

use std::{
    path::PathBuf,
    time::{Duration, SystemTime},
};

use confique::Config;

pub use error::SettingsError;
pub use values::{DatabaseStatements, DriverKind, Durability, MaxSessions, RedisMode, Secret};
pub use variables::Variables;

use cloakroom_core::{DeviceBinding, Origin, SiteData, cookie::SameSite, form::SecretFields};

/// The settings of an application's sessions.
#[derive(Clone, Debug, Config)]
#[config(layer_attr(derive(Debug)))]
#[config(layer_attr(serde(deny_unknown_fields)))]
#[non_exhaustive]
#[expect(clippy::struct_excessive_bools, reason = "each setting is on or off by itself")]
pub struct Settings {
    /// The place where sessions are stored: `cookie`, `memory`, `file`, `redis`, `postgres`, `mysql` or
    /// `sqlite`. Default: `cookie`, which needs no server. The other drivers cost a store, and in return no concurrent request
    /// loses a change and a logout is final. `memory` loses all sessions at a restart.
    #[config(default = "cookie", env = "SESSION_DRIVER")]
    pub driver: DriverKind,

    /// The cookie's name. Default: `__Host-Http-session`, because browsers let no other host and no
    /// script set a cookie with this prefix. It is `__Host-session` if `cookie.http_only` is off,
    /// `__Secure-session` if `cookie.domain` is set, and `session` if `cookie.secure` is off, because
    /// browsers refuse the stronger prefixes there. Changing the name ends all sessions, unless
    /// `old_cookie_name` has the name before.
    #[config(env = "SESSION_COOKIE_NAME")]
    pub cookie_name: Option<String>,

    /// The name that the cookie had before. Default: none. Until `old_cookie_until`, a request without the
    /// new cookie is served from the one of this name, and its response replaces that by the new one. So
    /// visitors stay signed in when `cookie_name` changes. The old cookie is removed with the path and the
    /// domain of the new one. Until the date, a host that can set a cookie of the old name can plant one.
    #[config(env = "SESSION_OLD_COOKIE_NAME")]
    pub old_cookie_name: Option<String>,

    /// The day from which on the old cookie is ignored, such as `"2027-03-01"`, or a moment in UTC, such as
    /// `"2027-03-01T12:00:00Z"`. Default: none. Required with `old_cookie_name`. Choose one by which
    /// sessions that were in use at the change have expired.
    #[config(env = "SESSION_OLD_COOKIE_UNTIL", deserialize_with = values::moment)]
    pub old_cookie_until: Option<SystemTime>,

    /// Whether browsers drop the cookie when they close. Default: `false`, so that visitors stay
    /// signed in. `true` protects shared computers, and visitors sign in more often. The timeouts
    /// hold either way, and browsers that restore their tabs keep the cookie.
    #[config(default = false, env = "SESSION_BROWSER_SESSION")]
    pub browser_session: bool,

    /// The origin by which visitors reach the application: `https://shop.example.org`. Default: none, which
    /// means the `Host` header of each request. Set it if a proxy replaces that header, because CSRF layers
    /// and redirects back compare the sender of a request with it. The application is then the same site under
    /// this origin only. `X-Forwarded-Host` is never read, because clients can send it.
    #[config(env = "SESSION_PUBLIC_ORIGIN", deserialize_with = values::origin)]
    pub public_origin: Option<Origin>,

    /// Other origins whose pages CSRF layers accept requests from, and to which redirects may lead:
    /// `["https://admin.example.org"]`, in the environment separated by commas. Default: none. A page of
    /// a trusted origin can do what a page of this site can, so list only origins that you control.
    #[config(default = [], env = "SESSION_TRUSTED_ORIGINS", deserialize_with = values::origins)]
    pub trusted_origins: Vec<Origin>,

    /// The time after which an unused session ends: `"90s"`, `"2h"`, `"10d"`, or a number of seconds.
    /// At least one second. Default: `"2h"`. A longer time is more convenient, and leaves a stolen or
    /// forgotten session usable for longer.
    #[config(default = "2h", env = "SESSION_IDLE_TIMEOUT", deserialize_with = values::timeout)]
    pub idle_timeout: Duration,

    /// The name of a request header that marks the polls of scripts. A request with this header is no use
    /// of its session, so it does not move the deadline of `idle_timeout`. Default: none, which means that
    /// each request that asks for the session is a use. Set it if pages poll, because a forgotten tab
    /// would otherwise keep its visitor signed in. A client that sends the header with other requests
    /// shortens its own session.
    #[config(env = "SESSION_NO_TOUCH_HEADER", deserialize_with = values::header_name)]
    pub no_touch_header: Option<String>,

    /// The time after which a session ends even if it is in use. At least one second. Default: none.
    /// It bounds how long a stolen session is usable. Visitors who are active at that moment have to
    /// sign in again.
    #[config(env = "SESSION_ABSOLUTE_TIMEOUT", deserialize_with = values::timeout)]
    pub absolute_timeout: Option<Duration>,

    /// The largest size of one session's record in a store, in bytes. Default: 262144 (256 KiB). A
    /// change that exceeds it fails, and the session keeps its former contents. A larger limit lets
    /// one visitor take more room in the store and makes requests slower. The cookie driver has
    /// `cookie.max_chunks` instead.
    #[config(default = 262_144, env = "SESSION_MAX_BYTES", deserialize_with = values::bytes)]
    pub max_bytes: usize,

    /// Whether records in a store are sealed by `APP_KEY`, so that a copy of the database or of a backup
    /// shows no values. Default: `false`. Plain records are still read, and sealed at their next use. A
    /// lost key loses all sessions, and the command `cloakroom` needs `APP_KEY` to show them. The cookie driver
    /// always seals.
    #[config(default = false, env = "SESSION_SEAL_RECORDS")]
    pub seal_records: bool,

    /// The number of sessions that one owner may have at the same time on a driver with a store. More
    /// than 0. Default: 100. A sign-in that exceeds it ends the session that was unused for the
    /// longest time. `"none"` removes the limit, and then an owner's list can grow until listing it is
    /// slow.
    #[config(default = 100, env = "SESSION_MAX_SESSIONS")]
    pub max_sessions: MaxSessions,

    /// The time that a commit may take, including the wait for other writers of the same session.
    /// Default: `"5s"`. A longer time keeps requests waiting when a store hangs. A shorter one fails
    /// requests that would have succeeded.
    #[config(default = "5s", env = "SESSION_COMMIT_DEADLINE", deserialize_with = values::span)]
    pub commit_deadline: Duration,

    /// The path of the page on which visitors sign in, such as `"/sign-in"`. Default: none. Browsers that
    /// ask for a page of a signed-in user are redirected to it. Without it they get status 401.
    #[config(env = "SESSION_SIGN_IN_PAGE")]
    pub sign_in_page: Option<String>,

    /// The policy for a session whose browser can prove the device that signed in (Device Bound Session
    /// Credentials): `off`, `report` (count requests without the proof), `sensitive` (refuse them where a
    /// recent sign-in or a level is required) or `require` (refuse them everywhere). Default: `off`. Where
    /// requests are refused, a copied cookie is worth nothing after `device_refresh` and one more minute. Begin
    /// with `report`. Other browsers are served as before. Needs the feature `device-binding`.
    #[config(default = "off", env = "SESSION_DEVICE_BINDING", deserialize_with = values::device_binding)]
    pub device_binding: DeviceBinding,

    /// How long a proof of the device counts: from `"1m"` to `"1d"`. Default: `"10m"`. A shorter time makes
    /// a copied cookie worthless sooner, and browsers send two requests more each time.
    #[config(default = "10m", env = "SESSION_DEVICE_REFRESH", deserialize_with = values::span)]
    pub device_refresh: Duration,

    /// The data of the site that browsers remove when a visitor signs out: `"cache"`, `"storage"` (what
    /// scripts have stored), `"cookies"` (of the whole domain) or `"*"`, in the environment separated by
    /// commas. Default: none. Without it, the next user of a shared computer can see pages in the cache of the
    /// browser. Clearing the cache can delay the response by seconds. Sent only if `cookie.secure` is on.
    #[config(default = [], env = "SESSION_CLEAR_SITE_DATA", deserialize_with = values::site_data)]
    pub clear_site_data: Vec<SiteData>,

    /// The form fields that `flash_all` leaves out, because their values must not return to a page. A
    /// pattern is compared with the words of a name: `card_number` matches whole words, `otp*` the
    /// beginning of a word, and `*passw*` any part. In the environment the patterns are separated by
    /// commas. A list here replaces the default list. A field that is missing in it is stored in the
    /// session and shown again as it was typed. The CSRF field is always left out.
    #[config(env = "SESSION_SECRET_FIELDS", deserialize_with = values::secret_fields)]
    pub secret_fields: SecretFields,

    /// Whether errors and warnings about insecure settings are printed to standard error while the
    /// application has no logger for `tracing` or `log`. Default: `false`, and `true` in development
    /// (`Settings::load_for_development`), so that a newcomer without a logger sees why a request
    /// failed. The last session system that is built decides for the process.
    #[config(default = false, env = "SESSION_PRINT_ERRORS")]
    pub print_errors: bool,

    /// Whether responses to requests that failed show the error to the visitor, and those to requests that a
    /// CSRF layer refused show the header or setting that is the reason. Default: `false`, and `true` in
    /// development (`Settings::load_for_development`). An error may name internals, such as the address of a server, so strangers must not see it in production.
    #[config(default = false, env = "SESSION_SHOW_ERRORS")]
    pub show_errors: bool,

    /// Whether sessions keep the path and query of the last page that was shown, so that redirects back lead
    /// there before the `Referer`. Default: `false`. With `true`, each page with another URL than the last one
    /// costs a write of the session, and a cookie on the cookie driver. The query is stored too, so it must
    /// hold no secrets.
    #[config(default = false, env = "SESSION_PREVIOUS_URL")]
    pub previous_url: bool,

    /// The cookie's attributes.
    #[config(nested)]
    pub cookie: CookieTable,

    /// The file driver.
    #[config(nested)]
    pub file: FileTable,

    /// The Redis driver.
    #[config(nested)]
    pub redis: RedisTable,

    /// The drivers `postgres`, `mysql` and `sqlite`.
    #[config(nested)]
    pub database: DatabaseTable,

    /// The application's keys, newest first, separated by commas. Required. It only comes from the
    /// environment variable, because the file is committed with the code.
    #[config(env = "APP_KEY", layer_attr(serde(skip_deserializing)))]
    pub app_key: Option<Secret>,
}

/// The cookie's attributes.
#[derive(Clone, Debug, Config)]
#[config(layer_attr(derive(Debug)))]
#[config(layer_attr(serde(deny_unknown_fields)))]
#[non_exhaustive]
pub struct CookieTable {
    /// Whether browsers send the cookie over https only. Default: `true`, and `false` in development
    /// (`Settings::load_for_development`). With `false`, everyone on the network path can steal the
    /// session, so use it only for plain http on localhost.
    #[config(default = true, env = "SESSION_COOKIE_SECURE")]
    pub secure: bool,

    /// Whether the cookie is hidden from scripts. Default: `true`. With `false`, an injected script can
    /// steal the session.
    #[config(default = true, env = "SESSION_COOKIE_HTTP_ONLY")]
    pub http_only: bool,

    /// The requests from other sites that carry the cookie: `lax` (links only), `strict` (none) or
    /// `none` (all). Default: `lax`. With `strict`, visitors who follow a link from another site appear
    /// signed out. With `none`, other sites can send requests in a visitor's name.
    #[config(default = "lax", env = "SESSION_COOKIE_SAME_SITE", deserialize_with = values::same_site)]
    pub same_site: SameSite,

    /// The path below which browsers send the cookie. Default: `/`, which the prefix `__Host-`
    /// requires. A narrower path is no protection between applications on one host, because their
    /// pages can reach each other.
    #[config(default = "/", env = "SESSION_COOKIE_PATH")]
    pub path: String,

    /// The domain whose subdomains receive the cookie as well. Default: none, which means only this
    /// host. With a domain, every host below it can read and replace the cookie.
    #[config(env = "SESSION_COOKIE_DOMAIN")]
    pub domain: Option<String>,

    /// Whether browsers keep a separate cookie for each site that embeds this one in a frame (CHIPS).
    /// Default: `false`. Set it for pages that other sites embed, because browsers block other cookies
    /// there. It needs `secure` and `same_site = "none"`. A visitor has another session in each
    /// embedding site.
    #[config(default = false, env = "SESSION_COOKIE_PARTITIONED")]
    pub partitioned: bool,

    /// The number of cookies, of about 4 kB each, that a session on the cookie driver may fill: 1 to
    /// 16. Default: 4. Every request carries all of them, and many servers refuse headers above 8 to
    /// 16 kB.
    #[config(default = 4, env = "SESSION_COOKIE_MAX_CHUNKS", deserialize_with = values::chunks)]
    pub max_chunks: u8,
}

/// The file driver's settings.
#[derive(Clone, Debug, Config)]
#[config(layer_attr(derive(Debug)))]
#[config(layer_attr(serde(deny_unknown_fields)))]
#[non_exhaustive]
pub struct FileTable {
    /// The folder of the session files. Default: `tmp/sessions`, below the working directory. Choose a
    /// folder of the application's own that survives a deployment and that the web server does not
    /// serve. Changing it ends all sessions unless the files move along.
    #[config(default = "tmp/sessions", env = "SESSION_FILE_LOCATION")]
    pub location: PathBuf,

    /// Whether acknowledged changes survive a loss of power: `full` (all of them) or `fast` (those that
    /// the operating system had written). Default: `full`. `fast` saves two waits for the disk per
    /// commit, and a loss of power may undo the last seconds, logouts included. A crash of the
    /// application loses nothing either way.
    #[config(default = "full", env = "SESSION_FILE_DURABILITY")]
    pub durability: Durability,
}

/// The Redis driver's settings. One server is given by `url` or by its parts, Sentinel and Cluster by
/// `nodes`. A setting that has no effect beside the others is refused.
#[derive(Clone, Debug, Config)]
#[config(layer_attr(derive(Debug)))]
#[config(layer_attr(serde(deny_unknown_fields)))]
#[non_exhaustive]
pub struct RedisTable {
    /// The server: `redis://user:password@host:port/db`, or `rediss://` for TLS. Default: the parts
    /// below, or `redis://127.0.0.1:6379/0`. Set a URL with a password in the environment, because the
    /// file is committed with the code.
    #[config(env = "SESSION_REDIS_URL")]
    pub url: Option<Secret>,

    /// The server's name or address, instead of `url`. Default: `127.0.0.1`.
    #[config(env = "SESSION_REDIS_HOST")]
    pub host: Option<Secret>,

    /// The server's port, instead of `url`. Default: 6379.
    #[config(env = "SESSION_REDIS_PORT", deserialize_with = values::port)]
    pub port: Option<u16>,

    /// The user of Redis's access control list, instead of `url`. Default: Redis's default user. A user
    /// of the application's own limits what a stolen password can do; the documentation of
    /// `cloakroom-redis` lists the commands that it needs.
    #[config(env = "SESSION_REDIS_USER")]
    pub user: Option<String>,

    /// The password, instead of `url`. Default: none. Set it in the environment, because the file is
    /// committed with the code.
    #[config(env = "SESSION_REDIS_PASSWORD")]
    pub password: Option<Secret>,

    /// The number of the database, instead of `url`. Default: 0. A cluster has database 0 only.
    /// Changing it ends all sessions unless they are moved.
    #[config(env = "SESSION_REDIS_DB", deserialize_with = values::count)]
    pub db: Option<u32>,

    /// Whether connections use TLS if `nodes` or `host` name the servers. Default: `false`. A `url`
    /// chooses TLS by its scheme instead, and has to be `rediss://` if this is on. Without TLS, everyone on the network path reads the sessions
    /// and the password.
    #[config(default = false, env = "SESSION_REDIS_TLS")]
    pub tls: bool,

    /// A file with the certificates (PEM) that the servers' certificates are checked against. Default:
    /// the operating system's certificates. Needed if the servers use a private authority. Refused
    /// without TLS.
    #[config(env = "SESSION_REDIS_CA_FILE")]
    pub ca_file: Option<PathBuf>,

    /// The kind of servers: `standalone` (one server), `sentinel` (the Sentinels name the master) or
    /// `cluster`. Default: `standalone`. The others survive the loss of a server, and a fail-over may
    /// lose the last changes.
    #[config(default = "standalone", env = "SESSION_REDIS_MODE")]
    pub mode: RedisMode,

    /// The Sentinels, or some nodes of the cluster: `["10.0.0.1:26379", "10.0.0.2:26379"]`, in the
    /// environment separated by commas. Default: none. Name several, because the first connection needs
    /// one that is running.
    #[config(env = "SESSION_REDIS_NODES", deserialize_with = values::nodes)]
    pub nodes: Option<Vec<Secret>>,

    /// The name of the master in the Sentinels' configuration. Default: `mymaster`, as in Redis's own
    /// example file.
    #[config(default = "mymaster", env = "SESSION_REDIS_MASTER")]
    pub master: String,

    /// The password of the Sentinels themselves. Default: none. Set it in the environment, because the
    /// file is committed with the code.
    #[config(env = "SESSION_REDIS_SENTINEL_PASSWORD")]
    pub sentinel_password: Option<Secret>,

    /// The beginning of every key. Default: `session:`. Applications that share a database and a prefix
    /// read only the sessions of their own `APP_KEY`, but `cloakroom list` shows all of them, so
    /// `cloakroom install` writes the package's name into it. Changing it ends all sessions unless they
    /// are moved.
    #[config(default = "session:", env = "SESSION_REDIS_KEY_PREFIX")]
    pub key_prefix: String,

    /// The time that connecting may take. Default: `"1s"`. Then the request fails. A longer time helps
    /// on slow networks, and keeps requests waiting while Redis is down.
    #[config(default = "1s", env = "SESSION_REDIS_CONNECT_TIMEOUT", deserialize_with = values::span)]
    pub connect_timeout: Duration,

    /// The time that a reply may take. Default: `"500ms"`. Then the request fails. A longer time helps
    /// on slow networks, and keeps requests waiting while Redis hangs.
    #[config(default = "500ms", env = "SESSION_REDIS_COMMAND_TIMEOUT", deserialize_with = values::span)]
    pub command_timeout: Duration,

    /// Whether records that were read stay in this process's memory until Redis reports a change.
    /// Default: `false`. With it, repeated reads need no round trip. A session that another instance of
    /// the application ends can be read here until the report arrives, at most 5 seconds later.
    #[config(default = false, env = "SESSION_REDIS_NEAR_CACHE")]
    pub near_cache: bool,

    /// The memory of the near cache, in bytes. Default: 67108864 (64 MiB). When it is full, the sessions
    /// that were unused for the longest time are removed first. Less memory means more reads from Redis.
    #[config(default = 67_108_864, env = "SESSION_REDIS_NEAR_CACHE_BYTES", deserialize_with = values::bytes)]
    pub near_cache_bytes: usize,

    /// The number of replicas that must have a logout or a new token before it is acknowledged. Default:
    /// 0. A logout that all replicas have is not undone by a fail-over. Each such write waits for a round
    /// trip to the slowest of them, and fails while fewer are connected.
    #[config(default = 0, env = "SESSION_REDIS_WAIT_REPLICAS", deserialize_with = values::count)]
    pub wait_replicas: u32,
}

/// The settings of the drivers `postgres`, `mysql` and `sqlite`. A setting that has no effect with the
/// driver is refused.
#[derive(Clone, Debug, Config)]
#[config(layer_attr(derive(Debug)))]
#[config(layer_attr(serde(deny_unknown_fields)))]
#[non_exhaustive]
pub struct DatabaseTable {
    /// The database: `postgres://user:password@host:5432/database`,
    /// `mysql://user:password@host:3306/database` or `sqlite:path/to/file.db`. Default: the variable
    /// `DATABASE_URL`, and without one `sqlite:tmp/sessions.db` for the driver `sqlite`. Always the primary,
    /// because a replica that lags signs visitors out. Set a URL with a password in the environment, because
    /// the file is committed with the code.
    #[config(env = "SESSION_DATABASE_URL")]
    pub url: Option<Secret>,

    /// The table of the sessions: 1 to 48 letters (a to z), digits and underscores. Default:
    /// `cloakroom_sessions`. The names of the tables beside it begin with it. Changing it ends all sessions
    /// unless they are moved.
    #[config(default = "cloakroom_sessions", env = "SESSION_DATABASE_TABLE")]
    pub table: String,

    /// The schema of the tables on PostgreSQL, or their database on MariaDB and MySQL. Default: the one that
    /// the connection uses.
    #[config(env = "SESSION_DATABASE_SCHEMA")]
    pub schema: Option<String>,

    /// Whether the first use makes the tables that are missing. Default: `false`, and `true` in development
    /// (`Settings::load_for_development`). It needs a role that may create tables, which an application in
    /// production should not have; `cloakroom schema` prints the statements instead.
    #[config(default = false, env = "SESSION_DATABASE_MIGRATE")]
    pub migrate: bool,

    /// The greatest number of connections of this process. Default: 4. More serve more requests at the same
    /// time, and take connections from the server's limit.
    #[config(default = 4, env = "SESSION_DATABASE_POOL_SIZE", deserialize_with = values::connections)]
    pub pool_size: u32,

    /// The time that a request may wait for a connection. Default: `"1s"`. Then it fails. A longer time
    /// keeps requests waiting while the database is down.
    #[config(default = "1s", env = "SESSION_DATABASE_CONNECT_TIMEOUT", deserialize_with = values::span)]
    pub connect_timeout: Duration,

    /// The time that a statement may take. Default: `"5s"`. Then the request fails. A longer time keeps
    /// requests waiting while the database hangs.
    #[config(default = "5s", env = "SESSION_DATABASE_QUERY_TIMEOUT", deserialize_with = values::span)]
    pub query_timeout: Duration,

    /// How statements reach PostgreSQL: `prepared`, or `simple` for connection poolers that do not support
    /// prepared statements, such as PgBouncer before 1.21 with transaction pooling. Default: `prepared`,
    /// which is faster.
    #[config(default = "prepared", env = "SESSION_DATABASE_STATEMENTS")]
    pub statements: DatabaseStatements,

    /// Whether acknowledged changes on SQLite survive a loss of power: `full` (all of them) or `fast` (those
    /// that the operating system had written). Default: `full`. `fast` saves a wait for the disk per commit,
    /// and a loss of power may undo the last seconds, logouts included.
    #[config(default = "full", env = "SESSION_DATABASE_DURABILITY")]
    pub durability: Durability,
}

#[cfg(test)]
mod tests;
