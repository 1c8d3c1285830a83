//! Builds the Redis store from its settings.

use cloakroom_redis::{ConfigError, RedisStore, Servers};

use crate::{RedisMode, RedisTable, Secret, SettingsError};

impl RedisTable {
    /// Builds the store that these settings describe. The first use connects.
    ///
    /// # Errors
    /// When settings are wrong or contradict each other. The error names them.
    ///
    /// ```no_run
    /// use cloakroom_settings::Settings;
    ///
    /// let store = Settings::load(None)?.redis.store()?;
    /// # Ok::<(), cloakroom_settings::SettingsError>(())
    /// ```
    pub fn store(&self) -> Result<RedisStore, SettingsError> {
        let table = self;
        let named = |error: ConfigError| SettingsError::settings(format!("`redis`: {error}"));
        let store = RedisStore::builder(servers(table)?)
            .key_prefix(&table.key_prefix)
            .connect_timeout(table.connect_timeout)
            .command_timeout(table.command_timeout)
            .near_cache(table.near_cache)
            .near_cache_bytes(table.near_cache_bytes)
            .wait_replicas(table.wait_replicas);
        store.build().map_err(named)
    }
}

/// Returns the servers and the login for them.
fn servers(table: &RedisTable) -> Result<Servers, SettingsError> {
    let mut servers = topology(table)?;
    if let Some(user) = &table.user {
        servers = servers.user(user);
    }
    if let Some(password) = table.password.as_ref().map(Secret::expose) {
        servers = servers.password(password);
    }
    if let Some(password) = table.sentinel_password.as_ref().map(Secret::expose) {
        servers = servers.sentinel_password(password);
    }
    if let Some(db) = table.db {
        servers = servers.database(db);
    }
    if table.tls {
        servers = servers.tls();
    }
    if let Some(path) = &table.ca_file {
        let pem = std::fs::read(path).map_err(|error| {
            SettingsError::settings(format!("`redis.ca_file`: {}: {error}", path.display()))
        })?;
        servers = servers.certificates(pem);
    }
    Ok(servers)
}

fn topology(table: &RedisTable) -> Result<Servers, SettingsError> {
    let refused = |key: &'static str| {
        move |error: ConfigError| SettingsError::settings(format!("`redis.{key}`: {error}"))
    };
    match (table.mode, table.nodes.as_deref(), &table.url) {
        (RedisMode::Standalone, Some(_), _) => Err(SettingsError::settings(
            "`redis.nodes` is set and `redis.mode` is `standalone`; expected `sentinel` or `cluster`",
        )),
        (RedisMode::Standalone, None, Some(url)) => {
            Servers::at(url.expose()).map_err(refused("url"))
        }
        (RedisMode::Standalone, None, None) => {
            Ok(Servers::host(table.host.as_deref().unwrap_or("127.0.0.1"), table.port))
        }
        (RedisMode::Sentinel, Some(nodes), None) => {
            Servers::sentinels(nodes, &table.master).map_err(refused("nodes"))
        }
        (RedisMode::Cluster, Some(nodes), None) => {
            Servers::cluster(nodes).map_err(refused("nodes"))
        }
        _ => Err(SettingsError::settings(
            "`redis.mode` is `sentinel` or `cluster`; expected `redis.nodes` and no `redis.url`",
        )),
    }
}
