//! The routes with the sessions of `tower-sessions` on axum:
//! `tower-sessions-peer memory|redis|postgres|sqlite`.

use std::process::ExitCode;

use axum::{Router, http::StatusCode, routing::get};
use cloakroom_bench::{
    Failure, axum_server,
    options::{Options, POOL, finish},
};
use time::Duration;
use tower_sessions::{Expiry, MemoryStore, Session, SessionManagerLayer, SessionStore};
use tower_sessions_redis_store::{
    RedisStore,
    fred::prelude::{ClientLike, Config, Pool},
};
use tower_sessions_sqlx_store::{
    PostgresStore, SqliteStore,
    sqlx::{
        postgres::PgPoolOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
    },
};

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(failure) => return finish(Err(failure)),
    };
    match options.driver.as_str() {
        "memory" => axum_server::run(routes(), async |_| Ok(layer(MemoryStore::default()))),
        "redis" => axum_server::run(routes(), async |options| Ok(layer(redis(options).await?))),
        "postgres" => {
            axum_server::run(routes(), async |options| Ok(layer(postgres(options).await?)))
        }
        "sqlite" => axum_server::run(routes(), async |options| Ok(layer(sqlite(options).await?))),
        other => finish(Err(format!(
            "there is no driver `{other}`; accepted: memory, redis, postgres, sqlite"
        ))),
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

async fn postgres(options: &Options) -> Result<PostgresStore, Failure> {
    let pool = PgPoolOptions::new().max_connections(POOL).connect(&options.postgres_url()?).await;
    let store = PostgresStore::new(pool.map_err(|error| error.to_string())?);
    store.migrate().await.map_err(|error| error.to_string())?;
    Ok(store)
}

/// Opens the database with the settings of cloakroom: WAL, and each commit waits for the disk.
async fn sqlite(options: &Options) -> Result<SqliteStore, Failure> {
    let connect = SqliteConnectOptions::new()
        .filename(options.sqlite_file()?)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(POOL).connect_with(connect).await;
    let store = SqliteStore::new(pool.map_err(|error| error.to_string())?);
    store.migrate().await.map_err(|error| error.to_string())?;
    Ok(store)
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
