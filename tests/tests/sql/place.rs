//! Databases of the tests' own, and stores on them.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use cloakroom::{
    async_trait,
    clock::{Clock, SystemClock},
    sql::{
        Health, MySqlStore, PgStatements, PostgresStore, SqliteDurability, SqliteStore,
        SweepBudget,
        sqlx::{AssertSqlSafe, Connection, SqliteConnection, query_scalar, raw_sql},
    },
    store::{Store, StoreError},
};
use cloakroom_tests::databases::{MariaDbServer, PostgresServer, mariadb, psql};
use tempfile::TempDir;

/// A database to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Postgres(PgStatements),
    MariaDb,
    Sqlite,
}

impl Database {
    pub(crate) const ALL: [Self; 4] = [
        Self::Postgres(PgStatements::Prepared),
        Self::Postgres(PgStatements::Simple),
        Self::MariaDb,
        Self::Sqlite,
    ];

    /// Those that are reached over a network.
    pub(crate) const SERVERS: [Self; 3] = [
        Self::Postgres(PgStatements::Prepared),
        Self::Postgres(PgStatements::Simple),
        Self::MariaDb,
    ];

    /// One for each kind of database.
    pub(crate) const KINDS: [Self; 3] =
        [Self::Postgres(PgStatements::Prepared), Self::MariaDb, Self::Sqlite];

    /// Returns a store at a URL.
    pub(crate) fn open(self, url: &str, settings: &Settings) -> Arc<dyn SqlTables> {
        macro_rules! open {
            ($store:expr) => {{
                let store = $store.table(&settings.table).migrate(settings.migrates);
                let store =
                    store.query_timeout(settings.query_timeout).sweep_budget(settings.sweeps);
                let store = store.pool_size(settings.pool_size).clock(settings.clock.clone());
                Arc::new(store.connect_timeout(settings.connect_timeout).build().unwrap())
            }};
        }
        match self {
            Self::Postgres(statements) => {
                open!(PostgresStore::at(url).unwrap().statements(statements))
            }
            Self::MariaDb => open!(MySqlStore::at(url).unwrap()),
            Self::Sqlite => {
                open!(SqliteStore::at(url).unwrap().durability(SqliteDurability::Fast))
            }
        }
    }
}

/// The settings of a store under test. The default ones are for a healthy database on a busy machine.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pool_size: u32,
    pub(crate) query_timeout: Duration,
    pub(crate) connect_timeout: Duration,
    pub(crate) migrates: bool,
    pub(crate) table: String,
    pub(crate) sweeps: Option<SweepBudget>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            pool_size: 4,
            query_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(10),
            migrates: true,
            table: "cloakroom_sessions".to_owned(),
            sweeps: None,
        }
    }
}

/// A store, whatever its database.
#[async_trait]
pub(crate) trait SqlTables: Store {
    async fn migrate(&self) -> Result<(), StoreError>;
    async fn health(&self) -> Result<Health, StoreError>;
}

macro_rules! sql_tables {
    ($($store:ty),*) => {$(
        #[async_trait]
        impl SqlTables for $store {
            async fn migrate(&self) -> Result<(), StoreError> {
                self.migrate().await
            }

            async fn health(&self) -> Result<Health, StoreError> {
                self.health().await
            }
        }
    )*};
}

sql_tables!(PostgresStore, MySqlStore, SqliteStore);

/// An empty database.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) database: Database,
    pub(crate) url: String,
    _folder: Option<TempDir>,
}

impl Place {
    pub(crate) fn new(database: Database) -> Self {
        let (url, folder) = match database {
            Database::Postgres(_) => (PostgresServer::shared().database(), None),
            Database::MariaDb => (MariaDbServer::shared().database(), None),
            Database::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                (format!("sqlite:{}", folder.path().join("app.db").display()), Some(folder))
            }
        };
        Self { database, url, _folder: folder }
    }

    /// Returns a store with the default settings.
    pub(crate) fn store(&self) -> Arc<dyn SqlTables> {
        self.store_with(&Settings::default())
    }

    pub(crate) fn store_with(&self, settings: &Settings) -> Arc<dyn SqlTables> {
        self.database.open(&self.url, settings)
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> SocketAddr {
        let server = self.url.split_once('@').unwrap().1.split_once('/').unwrap().0;
        server.parse().unwrap()
    }

    /// Returns the URL with another address.
    pub(crate) fn url_at(&self, address: SocketAddr) -> String {
        self.url.replace(&self.address().to_string(), &address.to_string())
    }

    /// Runs statements. Returns the first column of a query.
    pub(crate) fn sql(&self, statements: &str) -> String {
        match self.database {
            Database::Postgres(_) => psql(&self.url, statements),
            Database::MariaDb => mariadb(&self.url, statements),
            Database::Sqlite => in_thread(sqlite(&self.url, statements)),
        }
    }

    /// Fills the table with rows of 400 bytes, which have an owner each. A row has expired if this
    /// condition of its number `n` is true.
    pub(crate) fn fill(&self, rows: u64, expired: &str) {
        let now = SystemClock.now().as_millis();
        let (past, future) = (now - 1_000, now + 3_600_000);
        let insert = |numbers: &str, id: &str, bytes: &str| {
            self.sql(&format!(
                "INSERT INTO cloakroom_sessions (id, revision, expires, owner, record) \
                 SELECT {id}, n, CASE WHEN {expired} THEN {past} ELSE {future} END, {id}, {bytes} \
                 FROM {numbers}"
            ));
        };
        match self.database {
            Database::Postgres(_) => {
                insert(
                    &format!("generate_series(1, {rows}) AS n"),
                    "sha256(n::text::bytea)",
                    "convert_to(repeat('x', 400), 'UTF8')",
                );
                self.sql("VACUUM ANALYZE cloakroom_sessions");
            }
            Database::MariaDb => insert(
                &format!("(SELECT seq AS n FROM seq_1_to_{rows}) AS numbers"),
                "UNHEX(SHA2(n, 256))",
                "REPEAT('x', 400)",
            ),
            Database::Sqlite => insert(
                &format!(
                    "(WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers \
                     LIMIT {rows}) SELECT n FROM numbers)"
                ),
                "randomblob(32)",
                "CAST(printf('%.400c', 'x') AS BLOB)",
            ),
        }
    }

    /// Waits until a query returns this text.
    ///
    /// # Panics
    /// When it does not within 15 seconds.
    pub(crate) async fn wait_for(&self, query: &str, expected: &str) {
        let began = Instant::now();
        while self.sql(query) != expected {
            assert!(began.elapsed() < Duration::from_secs(15), "{query} is not {expected}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Returns the number of rows, expired ones included.
    pub(crate) fn rows(&self) -> usize {
        self.sql("SELECT count(*) FROM cloakroom_sessions").parse().unwrap()
    }

    /// Returns the number of records that have not ended, expired ones included.
    pub(crate) fn records(&self) -> usize {
        let count = "SELECT count(*) FROM cloakroom_sessions WHERE record IS NOT NULL";
        self.sql(count).parse().unwrap()
    }
}

async fn sqlite(url: &str, statements: &str) -> String {
    let mut connection = SqliteConnection::connect(&format!("{url}?mode=rwc")).await.unwrap();
    if !statements.to_ascii_lowercase().starts_with("select") {
        raw_sql(AssertSqlSafe(statements)).execute(&mut connection).await.unwrap();
        return String::new();
    }
    let numbers =
        query_scalar::<_, i64>(AssertSqlSafe(statements)).fetch_all(&mut connection).await;
    numbers.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// Runs a future in a thread with a separate runtime.
pub(crate) fn in_thread<T: Send>(work: impl Future<Output = T> + Send) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(work)
    };
    std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}
