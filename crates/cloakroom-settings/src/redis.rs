//! Builds the Redis store from its settings.

use cloakroom_redis::{ConfigError, RedisStore, Servers};

use crate::{RedisMode, RedisTable, Secret, SettingsError, refused::Refused};

/// The name of the master that is the default.
const DEFAULT_MASTER: &str = "mymaster";

/// How the settings name the servers.
#[derive(Clone, Copy)]
enum Form<'t> {
    Url(&'t Secret),
    Parts,
    Sentinels(&'t [Secret]),
    Cluster(&'t [Secret]),
}

impl Form<'_> {
    /// Returns the keys that have an effect, and why others have none.
    fn used(self) -> (&'static [&'static str], &'static str) {
        match self {
            Self::Url(_) => (
                &["redis.url", "redis.tls"],
                "it has no effect beside redis.url; expected the URL or the parts, and one server",
            ),
            Self::Parts => (
                &[
                    "redis.host",
                    "redis.port",
                    "redis.user",
                    "redis.password",
                    "redis.db",
                    "redis.tls",
                ],
                "it has no effect with `standalone` as redis.mode; remove it, or choose `sentinel` or \
                 `cluster`",
            ),
            Self::Sentinels(_) => (
                &[
                    "redis.nodes",
                    "redis.master",
                    "redis.sentinel_password",
                    "redis.user",
                    "redis.password",
                    "redis.db",
                    "redis.tls",
                ],
                "it has no effect with `sentinel` as redis.mode; expected redis.nodes",
            ),
            Self::Cluster(_) => (
                &["redis.nodes", "redis.user", "redis.password", "redis.db", "redis.tls"],
                "it has no effect with `cluster` as redis.mode; expected redis.nodes",
            ),
        }
    }
}

impl RedisTable {
    /// Builds the store that these settings describe. The first use connects.
    ///
    /// # Errors
    /// When settings are wrong, contradict each other, or have no effect beside the others. The error names
    /// them.
    ///
    /// ```no_run
    /// use cloakroom_settings::Settings;
    ///
    /// let store = Settings::load(None)?.redis.store()?;
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn store(&self) -> Result<RedisStore, SettingsError> {
        let mut servers = self.servers()?;
        if let Some(path) = &self.ca_file {
            let pem = std::fs::read(path).map_err(|error| {
                SettingsError::settings(format!("`redis.ca_file`: {}: {error}", path.display()))
            })?;
            servers = servers.certificates(pem);
        }
        let store = RedisStore::builder(servers)
            .key_prefix(&self.key_prefix)
            .connect_timeout(self.connect_timeout)
            .command_timeout(self.command_timeout)
            .near_cache(self.near_cache)
            .near_cache_bytes(self.near_cache_bytes)
            .wait_replicas(self.wait_replicas);
        store.build().map_err(|error| SettingsError::settings(format!("`redis`: {error}")))
    }

    /// Returns the servers and the login for them.
    pub(super) fn servers(&self) -> Result<Servers, Refused> {
        let form = self.form()?;
        let (used, why) = form.used();
        let mut set = self.set_keys();
        if let Some(key) = set.find(|key| !used.contains(key)) {
            return Err(Refused::new(key, why));
        }
        let mut servers = self.addresses(form)?;
        if let Some(user) = &self.user {
            servers = servers.user(user);
        }
        if let Some(password) = &self.password {
            servers = servers.password(password.expose());
        }
        if let Some(password) = &self.sentinel_password {
            servers = servers.sentinel_password(password.expose());
        }
        if let Some(db) = self.db {
            servers = servers.database(db);
        }
        if self.tls && !matches!(form, Form::Url(_)) {
            servers = servers.tls();
        }
        if self.tls && !servers.uses_tls() {
            return Err(Refused::new("redis.tls", "redis.url has no TLS; expected rediss://"));
        }
        if self.ca_file.is_some() && !servers.uses_tls() {
            let problem = "connections do not use TLS; expected redis.tls = true, or rediss:// as the \
                           scheme of redis.url";
            return Err(Refused::new("redis.ca_file", problem));
        }
        Ok(servers)
    }

    fn form(&self) -> Result<Form<'_>, Refused> {
        let nodes = || {
            let problem = "it needs redis.nodes; expected the servers there, or `standalone`";
            self.nodes.as_deref().ok_or_else(|| Refused::new("redis.mode", problem))
        };
        Ok(match (self.mode, &self.url) {
            (RedisMode::Standalone, Some(url)) => Form::Url(url),
            (RedisMode::Standalone, None) => Form::Parts,
            (RedisMode::Sentinel, _) => Form::Sentinels(nodes()?),
            (RedisMode::Cluster, _) => Form::Cluster(nodes()?),
        })
    }

    /// Returns the keys that are set and have an effect in some forms alone.
    fn set_keys(&self) -> impl Iterator<Item = &'static str> {
        let keys = [
            ("redis.url", self.url.is_some()),
            ("redis.host", self.host.is_some()),
            ("redis.port", self.port.is_some()),
            ("redis.user", self.user.is_some()),
            ("redis.password", self.password.is_some()),
            ("redis.db", self.db.is_some()),
            ("redis.tls", self.tls),
            ("redis.nodes", self.nodes.is_some()),
            ("redis.master", self.master != DEFAULT_MASTER),
            ("redis.sentinel_password", self.sentinel_password.is_some()),
        ];
        keys.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key)
    }

    fn addresses(&self, form: Form<'_>) -> Result<Servers, Refused> {
        let refused = |key| move |error: ConfigError| Refused::new(key, error.to_string());
        match form {
            Form::Url(url) => Servers::at(url.expose()).map_err(refused("redis.url")),
            Form::Parts => {
                let host = self.host.as_ref().map_or("127.0.0.1", Secret::expose);
                Servers::host(host, self.port).map_err(refused("redis.host"))
            }
            Form::Sentinels(nodes) => {
                Servers::sentinels(nodes.iter().map(Secret::expose), &self.master)
                    .map_err(refused("redis.nodes"))
            }
            Form::Cluster(nodes) => {
                Servers::cluster(nodes.iter().map(Secret::expose)).map_err(refused("redis.nodes"))
            }
        }
    }
}
