//! Settings of the store.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use cloakroom_store::clock::{Clock, SystemClock};

use crate::{
    ConfigError, RedisStore, Servers,
    connections::{Connections, Timeouts},
    near_cache::{DEFAULT_BYTES, NearCache},
    script::Scripts,
    store::Inner,
};

/// Settings of a [`RedisStore`].
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

    /// What every key begins with. Default: `session:`. Applications with the same prefix in one database
    /// read only the sessions of their own keys, and tools that need no key, such as `cloakroom list`, do
    /// not tell them apart: set one of your own where a server has several.
    pub fn key_prefix(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.prefix);
        self
    }

    /// How long connecting may take before a request fails. Default: one second.
    pub fn connect_timeout(mut self, span: Duration) -> Self {
        self.timeouts.connect = span;
        self
    }

    /// How long an answer may take before a request fails. Default: half a second.
    pub fn command_timeout(mut self, span: Duration) -> Self {
        self.timeouts.command = span;
        self
    }

    /// So many replicas have to have a `destroy` or `regenerate` before it counts as done; with
    /// fewer, the request fails although the master has it. Default: 0. Costs a round trip to the
    /// slowest of them, and a second connection.
    pub fn wait_replicas(mut self, replicas: u32) -> Self {
        self.wait_replicas = replicas;
        self
    }

    /// Keeps records that were read in memory until Redis says that they changed. Default: off.
    ///
    /// A read then costs no round trip and a write one. What another process changes is seen here
    /// when Redis's message arrives, commonly within a millisecond, and after 5 seconds in any case:
    /// for as long a session that was ended elsewhere may still be read here. It cannot be written:
    /// commits compare with what is in Redis. Not for clusters.
    pub fn near_cache(mut self, on: bool) -> Self {
        self.near_cache = on;
        self
    }

    /// Sets how many bytes of memory the [near cache](Self::near_cache) may take. When there is no
    /// room, the records that were not used for the longest time leave. Default: 67,108,864
    /// (64 MiB), some 40,000 sessions of 1 KiB. Less saves memory; records that left are read from
    /// Redis. More than 0.
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

    /// Where the time comes from. Default: the operating system.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks the settings. Nothing is connected yet.
    ///
    /// # Errors
    /// When settings contradict each other; the error names them.
    pub fn build(self) -> Result<RedisStore, ConfigError> {
        let Self { servers, prefix, timeouts, wait_replicas, near_cache, near_cache_bytes, clock } =
            self;
        if prefix.contains(['{', '}']) {
            let problem = "the key prefix has a brace; in a cluster braces choose the slot, so a \
                           prefix without them is accepted";
            return Err(ConfigError::new(problem));
        }
        if near_cache && servers.is_cluster() {
            let problem = "a near cache on a cluster; one server or Sentinel is accepted with it";
            return Err(ConfigError::new(problem));
        }
        if servers.is_cluster() && servers.login.db != 0 {
            return Err(ConfigError::new("a cluster has database 0 alone"));
        }
        if timeouts.connect.is_zero() || timeouts.command.is_zero() {
            return Err(ConfigError::new("a timeout of 0; more is accepted"));
        }
        if near_cache_bytes == 0 {
            let problem =
                "near_cache_bytes is 0; more is accepted, and near_cache = false for none";
            return Err(ConfigError::new(problem));
        }
        let replicated = (wait_replicas > 0)
            .then(|| (Connections::new(servers.clone(), timeouts), wait_replicas));
        Ok(RedisStore(Arc::new(Inner {
            connections: Arc::new(Connections::new(servers, timeouts)),
            replicated,
            scripts: Scripts::new(),
            prefix,
            clock,
            near_cache: near_cache.then(|| Arc::new(NearCache::new(near_cache_bytes))),
            started: AtomicBool::new(false),
        })))
    }
}
