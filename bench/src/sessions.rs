//! The drivers of cloakroom.

use cloakroom::{
    AppKeys, FileStore, MemoryStore, Driver, Sessions,
    cookie::CookieSettings,
    redis::{RedisStore, Servers},
};

use crate::{Failure, options::Options};

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
        other => {
            return Err(format!(
                "there is no driver `{other}`; accepted: cookie, memory, file, redis, redis-near-cache"
            ));
        }
    };
    let sessions = builder.cookie_settings(CookieSettings::development()).build();
    sessions.map_err(|error| error.to_string())
}

fn files(options: &Options) -> Result<FileStore, Failure> {
    let folder = options.folder.as_ref().ok_or("the driver `file` needs --folder")?;
    FileStore::open(folder).map_err(|error| error.to_string())
}

fn redis(options: &Options, near_cache: bool) -> Result<RedisStore, Failure> {
    let servers = Servers::at(&options.redis_url()?).map_err(|error| error.to_string())?;
    let store = RedisStore::builder(servers).near_cache(near_cache).build();
    store.map_err(|error| error.to_string())
}
