//! Each problem and each warning that `health` reports.

use cloakroom::{
    clock::{Clock, SystemClock},
    sql::{Health, MySqlStore, PgStatements, PostgresStore, SqliteStore, sqlx::SqlitePool},
};
use cloakroom_tests::databases::{MariaDbServer, PostgresServer, mariadb, psql};

use super::{Database, Place, Settings};

const POSTGRES: Database = Database::Postgres(PgStatements::Prepared);

async fn health_at(database: Database, url: &str) -> Health {
    let settings = Settings { migrates: false, ..Settings::default() };
    database.open(url, &settings).health().await.unwrap()
}

/// Asserts that one of the texts says so, and the others are the usual ones of a test server.
fn assert_says(texts: &[String], says: &str) {
    assert!(texts.iter().any(|text| text.contains(says)), "{says}: {texts:?}");
}

fn assert_silent(texts: &[String], says: &str) {
    assert!(!texts.iter().any(|text| text.contains(says)), "{says}: {texts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_database_has_no_problems() {
    let durable = (PostgresServer::start_durable(), MariaDbServer::start_durable());
    let sqlite = Place::new(Database::Sqlite);
    for (database, url) in [
        (POSTGRES, durable.0.url()),
        (Database::MariaDb, durable.1.url()),
        (Database::Sqlite, sqlite.url.clone()),
    ] {
        let store = database.open(&url, &Settings::default());
        store.migrate().await.unwrap();
        let health = store.health().await.unwrap();
        assert!(health.problems.is_empty() && health.warnings.is_empty(), "{health:?}");
        assert!(!health.version.is_empty() && health.clock_ahead.abs() < 2_000, "{health:?}");
        assert!(!health.round_trip.is_zero(), "{health:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_tables_and_those_of_a_later_version_are_problems() {
    for database in Database::ALL {
        let place = Place::new(database);
        let health = health_at(database, &place.url).await;
        assert_says(&health.problems, "does not exist");
        place.store().migrate().await.unwrap();
        assert_silent(&health_at(database, &place.url).await.problems, "does not exist");
        place.sql("UPDATE cloakroom_sessions_state SET version = 7");
        assert_says(&health_at(database, &place.url).await.problems, "version 7");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_postgres_that_harm_are_named() {
    let server = PostgresServer::start_durable();
    let url = server.url();
    let find = async || health_at(POSTGRES, &url).await;
    POSTGRES.open(&url, &Settings::default()).migrate().await.unwrap();
    let set = |setting: &str| psql(&url, &format!("ALTER DATABASE cloakroom SET {setting}"));
    for (harms, helps, says) in [
        ("synchronous_commit = off", "synchronous_commit = on", "`synchronous_commit` is off"),
        (
            "default_transaction_isolation = serializable",
            "default_transaction_isolation = 'read committed'",
            "`default_transaction_isolation` is `serializable`",
        ),
        (
            "default_transaction_read_only = on",
            "default_transaction_read_only = off",
            "accepts no writes",
        ),
        ("bytea_output = escape", "bytea_output = hex", "`bytea_output` is `escape`"),
    ] {
        set(harms);
        let found = find().await;
        assert_says(&[found.problems, found.warnings].concat(), says);
        psql(&url, &format!("BEGIN READ WRITE; ALTER DATABASE cloakroom SET {helps}; COMMIT"));
        let found = find().await;
        assert_silent(&[found.problems, found.warnings].concat(), says);
    }
    psql(&url, "ALTER TABLE cloakroom_sessions RESET (fillfactor)");
    assert_says(&find().await.warnings, "fillfactor");
    psql(&url, "ALTER TABLE cloakroom_sessions SET UNLOGGED");
    assert_says(&find().await.problems, "UNLOGGED");
    psql(&url, "ALTER TABLE cloakroom_sessions SET (autovacuum_enabled = off)");
    let mut warnings = Vec::new();
    // The server counts them a moment later.
    for attempt in 0..100 {
        if attempt % 25 == 0 {
            let ids = "SELECT sha256(n::text::bytea), 1, 1 FROM generate_series(1, 12000) AS n";
            psql(&url, &format!("INSERT INTO cloakroom_sessions {ids}"));
            psql(&url, "DELETE FROM cloakroom_sessions");
        }
        warnings = find().await.warnings;
        if warnings.iter().any(|warning| warning.contains("dead rows")) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_says(&warnings, "dead rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rights_that_a_role_lacks_are_problems() {
    for (role, lacks) in [("lacks_a", "DELETE"), ("lacks_b", "SELECT"), ("lacks_c", "UPDATE")] {
        for table in ["cloakroom_sessions", "cloakroom_sessions_state", "cloakroom_sessions_log"] {
            let url = PostgresServer::shared().database();
            POSTGRES.open(&url, &Settings::default()).migrate().await.unwrap();
            psql(&url, &format!("DROP ROLE IF EXISTS {role}_{table}"));
            psql(&url, &format!("CREATE ROLE {role}_{table} LOGIN"));
            psql(&url, &format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}_{table}"));
            psql(&url, &format!("REVOKE {lacks} ON {table} FROM {role}_{table}"));
            let limited = url.replace("cloakroom@", &format!("{role}_{table}@"));
            let problems = health_at(POSTGRES, &limited).await.problems;
            let says = format!("lacks the right to {lacks} on \"{table}\"");
            assert_says(&problems, &says);
        }
    }
    let url = MariaDbServer::shared().database();
    Database::MariaDb.open(&url, &Settings::default()).migrate().await.unwrap();
    let name = url.rsplit('/').next().unwrap();
    for (user, lacks, rights) in [
        ("lacks_a", "DELETE", "SELECT, INSERT, UPDATE"),
        ("lacks_b", "INSERT", "SELECT, UPDATE, DELETE"),
        ("lacks_c", "UPDATE", "SELECT, INSERT, DELETE"),
    ] {
        mariadb(
            &url,
            &format!("CREATE USER '{user}'@'%'; GRANT {rights} ON {name}.* TO '{user}'@'%'"),
        );
        let limited = url.replace("cloakroom@", &format!("{user}@"));
        let problems = health_at(Database::MariaDb, &limited).await.problems;
        assert_says(&problems, &format!("{lacks} command denied"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_mariadb_that_harm_are_named() {
    let server = MariaDbServer::start_durable();
    let url = server.url();
    Database::MariaDb.open(&url, &Settings::default()).migrate().await.unwrap();
    let find = async || health_at(Database::MariaDb, &url).await;
    server.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 2");
    assert_says(&find().await.problems, "`innodb_flush_log_at_trx_commit` is 2");
    server.sql("SET GLOBAL innodb_flush_log_at_trx_commit = 1; SET GLOBAL read_only = 1");
    assert_says(&find().await.problems, "read-only");
    server.sql("SET GLOBAL read_only = 0");
    let pool = cloakroom::sql::sqlx::MySqlPool::connect(&url).await.unwrap();
    let health = MySqlStore::new(pool).health().await.unwrap();
    assert_says(&health.warnings, "the isolation level is REPEATABLE-READ");
    server.sql("ALTER TABLE cloakroom_sessions ENGINE = Aria");
    assert_says(&find().await.problems, "the table's engine is Aria");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_of_sqlite_that_harm_are_named() {
    let place = Place::new(Database::Sqlite);
    for (parameters, is_problem, says) in [
        ("PRAGMA journal_mode = DELETE", false, "`journal_mode` is `delete`"),
        ("PRAGMA synchronous = OFF", true, "`synchronous` is off"),
    ] {
        let options = cloakroom::sql::sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
        let url = format!("{}?mode=rwc", place.url);
        let pool: SqlitePool = options.connect(&url).await.unwrap();
        cloakroom::sql::sqlx::raw_sql(cloakroom::sql::sqlx::AssertSqlSafe(parameters))
            .execute(&pool)
            .await
            .unwrap();
        let store = SqliteStore::builder(pool).unwrap().migrate(true).build().unwrap();
        store.migrate().await.unwrap();
        let health = store.health().await.unwrap();
        assert_says(if is_problem { &health.problems } else { &health.warnings }, says);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_and_an_error_show_no_password() {
    let port = cloakroom_tests::redis::free_port();
    let postgres = PostgresStore::at(&format!("postgres://virk:hunter2@127.0.0.1:{port}/app"));
    let mysql = MySqlStore::at(&format!("mysql://virk:hunter2@127.0.0.1:{port}/app"));
    let (postgres, mysql) = (postgres.unwrap().build().unwrap(), mysql.unwrap().build().unwrap());
    let errors = [postgres.health().await.unwrap_err(), mysql.health().await.unwrap_err()];
    let shown = format!("{errors:?} {postgres:?} {mysql:?} {} {}", postgres.place(), mysql.place());
    assert!(!shown.contains("hunter2") && !shown.contains("virk"), "{shown}");
    for url in ["postgres://virk:hunter2@:70000/x", "no url with hunter2"] {
        let error = PostgresStore::at(url).unwrap_err().to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
    assert!(SystemClock.now().as_millis() > 0);
}
