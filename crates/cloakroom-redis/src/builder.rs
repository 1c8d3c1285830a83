//! Settings of the store.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use cloakroom_store::clock::{Clock, SystemClock};

use crate::{
    connections::Connections,
    connector::Timeouts,
    ending_link::EndingLink,
    inner::Inner,
    near_cache::{DEFAULT_BYTES, NearCache},
    replicated::Replicated,
    script::Scripts,
    servers::{ConfigError, Servers},
    store::RedisStore,
};

/// The settings of a [`RedisStore`].
#[derive(Clone, Debug)]
#[must_use = "settings do nothing until `build`"]
pub struct RedisStoreBuilder {
    servers: Servers,
    prefix: String,
    timeouts: Timeouts,
    wait_replicas: u32,
    near_cache: bool,
    near_cache_bytes: usize,
    clock: Arc<dyn Clock>,
}

impl RedisStoreBuilder {
    pub(crate) fn new(servers: Servers) -> Self {
        Self {
            servers,
            prefix: "session:".to_owned(),
            timeouts: Timeouts {
                connect: Duration::from_secs(1),
                command: Duration::from_millis(500),
            },
            wait_replicas: 0,
            near_cache: false,
            near_cache_bytes: DEFAULT_BYTES,
            clock: Arc::new(SystemClock),
        }
    }

    /// Sets the beginning of every key. Default: `session:`. Applications that share a database and a prefix
    /// read only the sessions of their own application keys. Tools without an application key, such as
    /// `cloakroom list`, show the sessions of all of them, so set another prefix for each application.
    ///
    /// ```
    /// use cloakroom_redis::{RedisStore, Servers};
    ///
    /// let servers = Servers::at("redis://127.0.0.1:6379/0")?;
    /// let store = RedisStore::builder(servers).key_prefix("shop:session:").build()?;
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn key_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// Sets how long connecting may take before a request fails. Default: one second. A longer time helps
    /// on slow networks, and keeps requests waiting while Redis is down.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use cloakroom_redis::{RedisStore, Servers};
    ///
    /// let servers = Servers::at("redis://127.0.0.1:6379/0")?;
    /// let store = RedisStore::builder(servers).connect_timeout(Duration::from_secs(2)).build()?;
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn connect_timeout(mut self, span: Duration) -> Self {
        self.timeouts.connect = span;
        self
    }

    /// Sets how long a reply may take before a request fails. Default: half a second. A longer time helps on
    /// slow networks, and keeps requests waiting while Redis hangs.
    ///
    /// ```
    /// # use std::time::Duration;
    /// use cloakroom_redis::{RedisStore, Servers};
    ///
    /// let servers = Servers::at("redis://127.0.0.1:6379/0")?;
    /// let store = RedisStore::builder(servers).command_timeout(Duration::from_secs(1)).build()?;
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn command_timeout(mut self, span: Duration) -> Self {
        self.timeouts.command = span;
        self
    }

    /// Sets how many replicas must have a `destroy` or `regenerate` before it is acknowledged. With fewer,
    /// the request fails although the master has the change. Default: 0. It costs a round trip to the
    /// slowest of these replicas, and up to eight more connections: one for each of these changes at a
    /// time.
    ///
    /// ```
    /// use cloakroom_redis::{RedisStore, Servers};
    ///
    /// let servers = Servers::sentinels(["10.0.0.1:26379", "10.0.0.2:26379"], "mymaster")?;
    /// let store = RedisStore::builder(servers).wait_replicas(1).build()?;
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn wait_replicas(mut self, replicas: u32) -> Self {
        self.wait_replicas = replicas;
        self
    }

    /// Sets whether records that were read stay in memory until Redis reports a change. Default: off.
    ///
    /// A read then costs no round trip, and a write costs one. Changes by another process are visible here
    /// when Redis's message arrives, commonly within a millisecond, and 5 seconds later at the latest. Until
    /// then a session that was ended elsewhere may be read here. It cannot be written, because commits
    /// compare revisions in Redis. Not available for clusters.
    ///
    /// ```
    /// use cloakroom_redis::{RedisStore, Servers};
    ///
    /// let servers = Servers::at("redis://127.0.0.1:6379/0")?;
    /// let store = RedisStore::builder(servers).near_cache(true).build()?;
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn near_cache(mut self, on: bool) -> Self {
        self.near_cache = on;
        self
    }

    /// Sets how many bytes of memory the [near cache](Self::near_cache) may use. When it is full, the records
    /// that were unused for the longest time leave and are read from Redis again. Default: 67,108,864
    /// (64 MiB), which is room for some 40,000 sessions of 1 KiB. More than 0.
    ///
    /// ```
    /// use cloakroom_redis::{RedisStore, Servers};
    ///
    /// let servers = Servers::at("redis://127.0.0.1:6379/0")?;
    /// let store = RedisStore::builder(servers).near_cache(true).near_cache_bytes(16 << 20).build()?;
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn near_cache_bytes(mut self, bytes: usize) -> Self {
        self.near_cache_bytes = bytes;
        self
    }

    /// Sets the clock. Default: the operating system's. Tests use another one.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use cloakroom_redis::{RedisStore, Servers};
    /// use cloakroom_store::clock::SystemClock;
    ///
    /// let servers = Servers::at("redis://127.0.0.1:6379/0")?;
    /// let store = RedisStore::builder(servers).clock(Arc::new(SystemClock)).build()?;
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings and returns the store. The first use connects.
    ///
    /// # Errors
    /// When settings contradict each other. The error names them.
    ///
    /// ```
    /// use cloakroom_redis::{RedisStore, Servers};
    ///
    /// let cluster = Servers::cluster(["10.0.0.1:6379"])?;
    /// let error = RedisStore::builder(cluster).near_cache(true).build().unwrap_err();
    /// assert!(error.to_string().contains("near cache"));
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn build(self) -> Result<RedisStore, ConfigError> {
        let Self { servers, prefix, timeouts, wait_replicas, near_cache, near_cache_bytes, clock } =
            self;
        if prefix.contains(['{', '}']) {
            let problem = "the key prefix has a brace; expected a prefix without braces, because in a \
                           cluster they choose the slot";
            return Err(ConfigError::new(problem));
        }
        if near_cache && servers.is_cluster() {
            let problem = "the near cache is on and the servers are a cluster; expected one server or \
                           Sentinel with it";
            return Err(ConfigError::new(problem));
        }
        if servers.is_cluster() && servers.login.db != 0 {
            return Err(ConfigError::new("the database is not 0; a cluster has database 0 only"));
        }
        if servers.certificates.is_some() && !servers.uses_tls() {
            let problem =
                "certificates are set and connections do not use TLS; expected TLS with them";
            return Err(ConfigError::new(problem));
        }
        if servers.tls && !servers.uses_tls() {
            let problem = "TLS is on and the server is a Unix socket; expected TLS off";
            return Err(ConfigError::new(problem));
        }
        if timeouts.connect.is_zero() || timeouts.command.is_zero() {
            return Err(ConfigError::new("a timeout is 0; expected more than 0"));
        }
        if near_cache_bytes == 0 {
            let problem = "near_cache_bytes is 0; expected more than 0, or near_cache = false";
            return Err(ConfigError::new(problem));
        }
        let replicated =
            (wait_replicas > 0).then(|| Replicated::new(&servers, timeouts, wait_replicas));
        Ok(RedisStore(Arc::new(Inner {
            connections: Arc::new(Connections::new(servers, timeouts)),
            replicated,
            scripts: Scripts::new(),
            prefix,
            clock,
            near_cache: near_cache.then(|| Arc::new(NearCache::new(near_cache_bytes))),
            endings: EndingLink::default(),
            started: AtomicBool::new(false),
        })))
    }
}
