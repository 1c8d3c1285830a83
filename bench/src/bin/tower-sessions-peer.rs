//! The routes with the sessions of `tower-sessions` on axum: `tower-sessions-peer memory|redis`.

use std::process::ExitCode;

use axum::{Router, http::StatusCode, routing::get};
use cloakroom_bench::{
    Failure, axum_server,
    options::{Options, finish},
};
use time::Duration;
use tower_sessions::{Expiry, MemoryStore, Session, SessionManagerLayer, SessionStore};
use tower_sessions_redis_store::{
    RedisStore,
    fred::prelude::{ClientLike, Config, Pool},
};

fn main() -> ExitCode {
    match Options::read() {
        Ok(options) if options.driver == "memory" => {
            axum_server::run(routes(), async |_| Ok(layer(MemoryStore::default())))
        }
        Ok(options) if options.driver == "redis" => {
            axum_server::run(routes(), async |options| Ok(layer(redis(options).await?)))
        }
        Ok(Options { driver, .. }) => {
            finish(Err(format!("there is no driver `{driver}`; accepted: memory, redis")))
        }
        Err(failure) => finish(Err(failure)),
    }
}

/// Sets the same idle time as the default of cloakroom.
fn layer<S: SessionStore>(store: S) -> SessionManagerLayer<S> {
    let expiry = Expiry::OnInactivity(Duration::hours(2));
    SessionManagerLayer::new(store).with_secure(false).with_expiry(expiry)
}

/// Connects to Redis: one connection, which all requests share, as in cloakroom.
async fn redis(options: &Options) -> Result<RedisStore<Pool>, Failure> {
    let config = Config::from_url(&options.redis_url()?).map_err(|error| error.to_string())?;
    let pool = Pool::new(config, None, None, None, 1).map_err(|error| error.to_string())?;
    pool.init().await.map_err(|error| error.to_string())?;
    Ok(RedisStore::new(pool))
}

fn routes() -> Router {
    Router::new()
        .route("/none", get(async || "none"))
        .route("/login", get(login))
        .route("/read", get(read))
        .route("/write", get(write))
}

async fn login(session: Session) -> Result<&'static str, StatusCode> {
    session.insert("username", "virk").await.map_err(refuse)?;
    Ok("signed in")
}

async fn read(session: Session) -> Result<String, StatusCode> {
    let name = session.get::<String>("username").await.map_err(refuse)?;
    Ok(name.unwrap_or_default())
}

async fn write(session: Session) -> Result<String, StatusCode> {
    let counter = session.get::<u64>("counter").await.map_err(refuse)?.unwrap_or(0) + 1;
    session.insert("counter", counter).await.map_err(refuse)?;
    Ok(counter.to_string())
}

fn refuse(_: tower_sessions::session::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
