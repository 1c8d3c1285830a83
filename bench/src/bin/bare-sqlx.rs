//! A row of a table for each visitor, by sqlx and without sessions: `bare-sqlx postgres|sqlite`. The base of
//! the servers with sessions in a database.

use std::process::ExitCode;

use axum::{
    Extension, Router,
    http::{HeaderMap, StatusCode, header},
    response::{AppendHeaders, IntoResponse},
    routing::get,
};
use cloakroom_bench::{
    Failure, axum_server,
    options::{Options, POOL, finish},
};
use sqlx::{
    PgPool, SqlitePool,
    postgres::PgPoolOptions,
    query, query_as, query_scalar,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

const CREATE_TABLE: &str = "CREATE TABLE IF NOT EXISTS bare_rows (id text PRIMARY KEY, \
     revision bigint NOT NULL, username text NOT NULL, counter bigint NOT NULL)";
const SELECT: &str = "SELECT revision, username, counter FROM bare_rows WHERE id = $1";
const UPDATE: &str = "UPDATE bare_rows SET revision = revision + 1, counter = $3 \
     WHERE id = $1 AND revision = $2";

fn main() -> ExitCode {
    let options = match Options::read() {
        Ok(options) => options,
        Err(failure) => return finish(Err(failure)),
    };
    match options.driver.as_str() {
        "postgres" => axum_server::run(routes::<PgPool>(), async |options| {
            postgres(options).await.map(Extension)
        }),
        "sqlite" => axum_server::run(routes::<SqlitePool>(), async |options| {
            sqlite(options).await.map(Extension)
        }),
        other => finish(Err(format!("there is no driver `{other}`; accepted: postgres, sqlite"))),
    }
}

/// The revision, the name and the counter of a row.
type Row = (i64, String, i64);

/// The rows of a database.
trait Rows: Clone + Send + Sync + 'static {
    /// Makes a row and returns its key.
    fn insert(&self) -> impl Future<Output = Result<String, sqlx::Error>> + Send;

    /// Returns the row with this key.
    fn select(&self, id: &str) -> impl Future<Output = Result<Row, sqlx::Error>> + Send;

    /// Sets the counter of a row. Returns `false` if the row no longer has this revision.
    fn update(
        &self,
        id: &str,
        revision: i64,
        counter: i64,
    ) -> impl Future<Output = Result<bool, sqlx::Error>> + Send;
}

macro_rules! rows {
    ($pool:ty, $new_id:literal) => {
        impl Rows for $pool {
            async fn insert(&self) -> Result<String, sqlx::Error> {
                let insert = concat!(
                    "INSERT INTO bare_rows (id, revision, username, counter) VALUES (",
                    $new_id,
                    ", 0, 'virk', 0) RETURNING id"
                );
                query_scalar(insert).fetch_one(self).await
            }

            async fn select(&self, id: &str) -> Result<Row, sqlx::Error> {
                query_as(SELECT).bind(id).fetch_one(self).await
            }

            async fn update(
                &self,
                id: &str,
                revision: i64,
                counter: i64,
            ) -> Result<bool, sqlx::Error> {
                let update = query(UPDATE).bind(id).bind(revision).bind(counter);
                Ok(update.execute(self).await?.rows_affected() == 1)
            }
        }
    };
}

rows!(PgPool, "gen_random_uuid()::text");
rows!(SqlitePool, "lower(hex(randomblob(16)))");

async fn postgres(options: &Options) -> Result<PgPool, Failure> {
    let pool = PgPoolOptions::new().max_connections(POOL);
    let pool = pool.connect(&options.postgres_url()?).await.map_err(text)?;
    query(CREATE_TABLE).execute(&pool).await.map_err(text)?;
    Ok(pool)
}

/// Opens the database with the settings of cloakroom: WAL, and each commit waits for the disk.
async fn sqlite(options: &Options) -> Result<SqlitePool, Failure> {
    let connect = SqliteConnectOptions::new()
        .filename(options.sqlite_file()?)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(POOL);
    let pool = pool.connect_with(connect).await.map_err(text)?;
    query(CREATE_TABLE).execute(&pool).await.map_err(text)?;
    Ok(pool)
}

fn text(error: sqlx::Error) -> Failure {
    error.to_string()
}

fn routes<R: Rows>() -> Router {
    Router::new()
        .route("/none", get(async || "none"))
        .route("/login", get(login::<R>))
        .route("/read", get(read::<R>))
        .route("/write", get(write::<R>))
}

async fn login<R: Rows>(Extension(rows): Extension<R>) -> Result<impl IntoResponse, StatusCode> {
    let id = rows.insert().await.map_err(refuse)?;
    Ok((AppendHeaders([(header::SET_COOKIE, format!("id={id}"))]), "signed in"))
}

async fn read<R: Rows>(
    Extension(rows): Extension<R>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    let (_, username, _) = rows.select(id(&headers)?).await.map_err(refuse)?;
    Ok(username)
}

/// Reads the row and writes it, as a session does. Begins again if another request came in between.
async fn write<R: Rows>(
    Extension(rows): Extension<R>,
    headers: HeaderMap,
) -> Result<String, StatusCode> {
    let id = id(&headers)?;
    loop {
        let (revision, _, counter) = rows.select(id).await.map_err(refuse)?;
        if rows.update(id, revision, counter + 1).await.map_err(refuse)? {
            return Ok((counter + 1).to_string());
        }
    }
}

/// Returns the key in the cookie.
fn id(headers: &HeaderMap) -> Result<&str, StatusCode> {
    let cookie = headers.get(header::COOKIE).and_then(|cookie| cookie.to_str().ok());
    cookie.and_then(|cookie| cookie.strip_prefix("id=")).ok_or(StatusCode::BAD_REQUEST)
}

fn refuse(_: sqlx::Error) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
