//! The sessions of one test server in a database.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use cloakroom::{
    clock::FakeClock,
    sql::{
        MySqlStore, PostgresStore, SqliteDurability, SqliteStore, SqliteStoreBuilder,
        sqlx::{
            AssertSqlSafe, Connection, Error, MySqlConnection, PgConnection, SqliteConnection,
            query_scalar,
        },
    },
    store::Store,
};
use tempfile::TempDir;

use super::{MariaDbServer, PostgresServer};

/// Tables on servers that an earlier test has made and left.
static LEFT: Mutex<Vec<(Database, String)>> = Mutex::new(Vec::new());

/// The tables of one test server. Those on a server are in the database that all tests of the process
/// share, and a later test takes them over, because making tables takes longer than most tests.
#[derive(Debug)]
pub struct SqlBackend {
    database: Database,
    url: String,
    table: String,
    _folder: Option<TempDir>,
}

/// A database that a driver stores sessions in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// PostgreSQL.
    Postgres,
    /// MariaDB.
    MySql,
    /// SQLite, in a new file.
    Sqlite,
}

impl Database {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Postgres, Self::MySql, Self::Sqlite];
}

impl SqlBackend {
    /// Makes tables of the test's own.
    ///
    /// # Panics
    /// When the server does not start, or there is no folder.
    pub fn new(database: Database) -> Self {
        static TABLES: AtomicUsize = AtomicUsize::new(0);
        let (url, folder) = match database {
            Database::Postgres => (PostgresServer::shared().url(), None),
            Database::MySql => (MariaDbServer::shared().url(), None),
            Database::Sqlite => {
                let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
                (format!("sqlite:{}", folder.path().join("app.db").display()), Some(folder))
            }
        };
        let table = format!("sessions_{}", TABLES.fetch_add(1, Ordering::SeqCst));
        let left = {
            let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
            let place = left.iter().position(|(of, _)| *of == database);
            place.map(|place| left.swap_remove(place).1)
        };
        let made = Self { database, url, table: left.clone().unwrap_or(table), _folder: folder };
        if left.is_some() {
            made.texts(&format!("DELETE FROM {}", made.table));
        }
        made
    }

    /// Returns a store on the tables, which goes by a clock of the test's own and does not sweep.
    ///
    /// # Panics
    /// Never, because the settings are valid.
    pub fn store(&self, clock: &Arc<FakeClock>) -> Box<dyn Store> {
        macro_rules! store {
            ($store:ty $(, $more:expr)?) => {{
                let store = <$store>::at(&self.url).unwrap_or_else(|error| panic!("{error}"));
                $(let store = $more(store);)?
                let store = store.table(&self.table).clock(clock.clone()).migrate(true);
                let store = store.sweep_budget(None).build();
                Box::new(store.unwrap_or_else(|error| panic!("{error}")))
            }};
        }
        match self.database {
            Database::Postgres => store!(PostgresStore),
            Database::MySql => store!(MySqlStore),
            // What these tests look at does not depend on the disk.
            Database::Sqlite => {
                store!(SqliteStore, |store: SqliteStoreBuilder| store
                    .durability(SqliteDurability::Fast))
            }
        }
    }

    /// Returns how many records there are, tombstones left out.
    pub fn records(&self) -> usize {
        let hexadecimal = self.hexadecimal("id");
        self.texts(&format!("SELECT {hexadecimal} FROM {} WHERE record IS NOT NULL", self.table))
            .len()
    }

    /// Returns keys, owners and contents as text.
    pub fn dump(&self) -> String {
        let column = |column| {
            let text = format!("SELECT {} FROM {}", self.hexadecimal(column), self.table);
            self.texts(&format!("{text} WHERE {column} IS NOT NULL"))
        };
        let columns = ["id", "owner", "successor"].map(|name| column(name).join("\n"));
        let records: Vec<_> =
            column("record").iter().map(|record| from_hexadecimal(record)).collect();
        columns.join("\n") + "\n" + &records.join("\n")
    }

    fn hexadecimal(&self, column: &str) -> String {
        match self.database {
            Database::Postgres => format!("encode({column}, 'hex')"),
            Database::MySql => format!("LOWER(HEX({column}))"),
            Database::Sqlite => format!("lower(hex({column}))"),
        }
    }

    /// Runs a query whose only column is a text. Has no rows if the tables are not there yet.
    fn texts(&self, query: &str) -> Vec<String> {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
            match runtime.block_on(self.run(query)) {
                Ok(rows) => rows,
                Err(Error::Database(error)) if is_missing_table(&error.to_string()) => Vec::new(),
                Err(error) => panic!("{query}: {error}"),
            }
        };
        // In a thread of its own, because a runtime cannot block in another.
        std::thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|_| panic!("{query}")))
    }

    async fn run(&self, query: &str) -> Result<Vec<String>, Error> {
        macro_rules! rows {
            ($connection:ty) => {{
                let mut connection = <$connection>::connect(&self.url).await?;
                query_scalar(AssertSqlSafe(query)).fetch_all(&mut connection).await
            }};
        }
        match self.database {
            Database::Postgres => rows!(PgConnection),
            Database::MySql => rows!(MySqlConnection),
            Database::Sqlite => rows!(SqliteConnection),
        }
    }
}

impl Drop for SqlBackend {
    fn drop(&mut self) {
        if self.database != Database::Sqlite {
            let mut left = LEFT.lock().unwrap_or_else(PoisonError::into_inner);
            left.push((self.database, self.table.clone()));
        }
    }
}

/// Returns the bytes as text. Other bytes than UTF-8, as in a sealed record, are replaced.
fn from_hexadecimal(digits: &str) -> String {
    let pairs = (0..digits.len()).step_by(2);
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap_or_default();
    String::from_utf8_lossy(&pairs.map(byte).collect::<Vec<_>>()).into_owned()
}

fn is_missing_table(error: &str) -> bool {
    ["does not exist", "doesn't exist", "no such table", "unable to open"]
        .iter()
        .any(|says| error.contains(says))
}
