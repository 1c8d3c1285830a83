//! The drivers of cloakroom.

use cloakroom::{
    AppKeys, Driver, FileStore, MemoryStore, Sessions,
    cookie::CookieSettings,
    redis::{RedisStore, Servers},
    sql::{PostgresStore, SqliteStore},
};
use sqlx::postgres::PgPoolOptions;

use crate::{
    Failure,
    options::{Options, POOL},
};

/// Builds the session system with the driver that the command line names.
///
/// The keys come from `APP_KEY`, so that several processes can share a store. Without it they are
/// new.
///
/// # Errors
/// Fails if there is no such driver, an option is missing, or the store cannot be opened.
pub fn build(options: &Options) -> Result<Sessions, Failure> {
    let keys = match std::env::var("APP_KEY") {
        Ok(text) => AppKeys::parse(&text).map_err(|error| format!("APP_KEY: {error}"))?,
        Err(_) => AppKeys::random(),
    };
    let builder = match options.driver.as_str() {
        "cookie" => Sessions::builder(Driver::Cookie, keys),
        "memory" => Sessions::builder(MemoryStore::new(), keys),
        "file" => Sessions::builder(files(options)?, keys),
        "redis" => Sessions::builder(redis(options, false)?, keys),
        "redis-near-cache" => Sessions::builder(redis(options, true)?, keys),
        "postgres" => Sessions::builder(postgres(options)?, keys),
        "postgres-pool" => Sessions::builder(postgres_with_pool(options)?, keys),
        "sqlite" => Sessions::builder(sqlite(options)?, keys),
        other => {
            return Err(format!(
                "there is no driver `{other}`; accepted: cookie, memory, file, redis, \
                 redis-near-cache, postgres, postgres-pool, sqlite"
            ));
        }
    };
    let sessions = builder.cookie_settings(CookieSettings::development()).build();
    sessions.map_err(|error| error.to_string())
}

fn files(options: &Options) -> Result<FileStore, Failure> {
    FileStore::open(options.session_folder()?).map_err(|error| error.to_string())
}

fn redis(options: &Options, near_cache: bool) -> Result<RedisStore, Failure> {
    let servers = Servers::at(&options.redis_url()?).map_err(|error| error.to_string())?;
    let store = RedisStore::builder(servers).near_cache(near_cache).build();
    store.map_err(|error| error.to_string())
}

fn postgres(options: &Options) -> Result<PostgresStore, Failure> {
    let store = PostgresStore::at(&options.postgres_url()?);
    let store = store.and_then(|store| store.pool_size(POOL).migrate(true).build());
    store.map_err(|error| error.to_string())
}

/// Opens the store with a pool of sqlx's, as an application has it.
fn postgres_with_pool(options: &Options) -> Result<PostgresStore, Failure> {
    let pool = PgPoolOptions::new().max_connections(POOL).connect_lazy(&options.postgres_url()?);
    let store = PostgresStore::builder(pool.map_err(|error| error.to_string())?);
    store.migrate(true).build().map_err(|error| error.to_string())
}

/// Every commit waits for the disk, which is the default.
fn sqlite(options: &Options) -> Result<SqliteStore, Failure> {
    let store = SqliteStore::at(&format!("sqlite:{}", options.sqlite_file()?.display()));
    let store = store.and_then(|store| store.pool_size(POOL).migrate(true).build());
    store.map_err(|error| error.to_string())
}
