//! The stores in SQL databases, as the commands use them.

use std::{path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use cloakroom::{
    settings::{DatabaseTable, Secret},
    sql::{Health, MySqlStore, PostgresStore, SqliteStore, sqlx::sqlite::SqliteConnectOptions},
    store::{Store, StoreError, async_trait},
};

use crate::{
    arguments::{SharedDriver, SqlDriver},
    failure::Failure,
};

/// A store in a database, with what only tools use.
#[async_trait]
pub(crate) trait DatabaseStore: Store {
    /// Names the database and the table, without user and password.
    fn place(&self) -> &str;

    async fn log(&self, name: &str) -> Result<Vec<String>, StoreError>;

    async fn append_to_log(
        &self,
        name: &str,
        lines: &[String],
        kept_for: Duration,
    ) -> Result<(), StoreError>;

    async fn health(&self) -> Result<Health, StoreError>;
}

macro_rules! database_stores {
    ($($store:ident),*) => {$(
        #[async_trait]
        impl DatabaseStore for $store {
            fn place(&self) -> &str {
                $store::place(self)
            }

            async fn log(&self, name: &str) -> Result<Vec<String>, StoreError> {
                $store::log(self, name).await
            }

            async fn append_to_log(
                &self,
                name: &str,
                lines: &[String],
                kept_for: Duration,
            ) -> Result<(), StoreError> {
                $store::append_to_log(self, name, lines, kept_for).await
            }

            async fn health(&self) -> Result<Health, StoreError> {
                $store::health(self).await
            }
        }
    )*};
}

database_stores!(PostgresStore, MySqlStore, SqliteStore);

impl SqlDriver {
    /// Returns the SQL driver that a shared driver is, if it is one.
    pub(crate) fn of(driver: SharedDriver) -> Option<Self> {
        match driver {
            SharedDriver::File | SharedDriver::Redis => None,
            SharedDriver::Postgres => Some(Self::Postgres),
            SharedDriver::MySql => Some(Self::MySql),
            SharedDriver::Sqlite => Some(Self::Sqlite),
        }
    }
}

/// Returns the store of a driver.
pub(crate) fn store(
    driver: SqlDriver,
    table: &DatabaseTable,
) -> Result<Arc<dyn DatabaseStore>, Failure> {
    Ok(match driver {
        SqlDriver::Postgres => Arc::new(table.postgres()?),
        SqlDriver::MySql => Arc::new(table.mysql()?),
        SqlDriver::Sqlite => Arc::new(table.sqlite()?),
    })
}

/// Returns the file of the SQLite database that the settings name.
pub(crate) fn sqlite_file(table: &DatabaseTable) -> Option<PathBuf> {
    let url = table.url.as_ref().map_or(DatabaseTable::DEFAULT_SQLITE, Secret::expose);
    let options = SqliteConnectOptions::from_str(url).ok()?;
    Some(options.get_filename().to_owned())
}

/// Returns the statements that make the tables. Needs no database.
pub(crate) fn schema(driver: SqlDriver, table: &DatabaseTable) -> Result<Vec<String>, Failure> {
    let at = |url: &str| {
        let mut table = table.clone();
        table.url = Some(Secret::from(url.to_owned()));
        table
    };
    Ok(match driver {
        SqlDriver::Postgres => at("postgres://localhost/app").postgres()?.schema(),
        SqlDriver::MySql => at("mysql://localhost/app").mysql()?.schema(),
        SqlDriver::Sqlite => at("sqlite:app.db").sqlite()?.schema(),
    })
}
