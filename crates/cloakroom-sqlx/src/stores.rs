//! The three stores by their names.

#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
use crate::{builder::SqlStoreBuilder, store::SqlStore, table::ConfigError};

/// Stores sessions in PostgreSQL, 14 or newer.
///
/// ```no_run
/// use cloakroom_sqlx::PostgresStore;
///
/// let store = PostgresStore::at("postgres://shop:secret@db.example/shop")?.schema("web").build()?;
/// # Ok::<(), cloakroom_sqlx::ConfigError>(())
/// ```
#[cfg(feature = "postgres")]
pub type PostgresStore = SqlStore<crate::postgres::PgDialect>;
/// The settings of a [`PostgresStore`].
#[cfg(feature = "postgres")]
pub type PostgresStoreBuilder = SqlStoreBuilder<crate::postgres::PgDialect>;
/// Stores sessions in SQLite.
///
/// ```no_run
/// use cloakroom_sqlx::SqliteStore;
///
/// let store = SqliteStore::at("sqlite:data/app.db")?.migrate(true).build()?;
/// # Ok::<(), cloakroom_sqlx::ConfigError>(())
/// ```
#[cfg(feature = "sqlite")]
pub type SqliteStore = SqlStore<crate::sqlite::SqliteDialect>;
/// The settings of a [`SqliteStore`].
#[cfg(feature = "sqlite")]
pub type SqliteStoreBuilder = SqlStoreBuilder<crate::sqlite::SqliteDialect>;
/// Stores sessions in MariaDB, 10.6 or newer, or MySQL, 8 or newer.
///
/// ```no_run
/// use cloakroom_sqlx::MySqlStore;
///
/// let store = MySqlStore::at("mysql://shop:secret@db.example/shop")?.build()?;
/// # Ok::<(), cloakroom_sqlx::ConfigError>(())
/// ```
#[cfg(feature = "mysql")]
pub type MySqlStore = SqlStore<crate::mysql::MySqlDialect>;
/// The settings of a [`MySqlStore`].
#[cfg(feature = "mysql")]
pub type MySqlStoreBuilder = SqlStoreBuilder<crate::mysql::MySqlDialect>;

#[cfg(feature = "postgres")]
mod postgres {
    use std::str::FromStr;

    use sqlx::{PgPool, postgres::PgConnectOptions};

    use super::{ConfigError, PostgresStore, PostgresStoreBuilder};
    use crate::postgres::PgStatements;

    impl PostgresStore {
        /// Returns a store that uses the application's pool, with the default settings.
        ///
        /// # Panics
        /// Never, because the default settings are valid.
        pub fn new(pool: PgPool) -> Self {
            Self::builder(pool).build().unwrap_or_else(|error| unreachable!("{error}"))
        }

        /// Returns a builder for a store that uses the application's pool.
        pub fn builder(pool: PgPool) -> PostgresStoreBuilder {
            PostgresStoreBuilder::with_pool(pool)
        }

        /// Returns a builder for a store with its own pool: `postgres://user:password@host/database`.
        /// The first use connects.
        ///
        /// # Errors
        /// When the URL cannot be used.
        pub fn at(url: &str) -> Result<PostgresStoreBuilder, ConfigError> {
            let options = PgConnectOptions::from_str(url).map_err(super::bad_url)?;
            Ok(PostgresStoreBuilder::with_options(options))
        }
    }

    impl PostgresStoreBuilder {
        /// Sets the schema of the tables. Default: none, so that the role's `search_path` decides.
        pub fn schema<'s>(mut self, name: impl Into<Option<&'s str>>) -> Self {
            self.schema = name.into().map(ToOwned::to_owned);
            self
        }

        /// Sets how statements reach the server.
        pub fn statements(mut self, statements: PgStatements) -> Self {
            self.options = statements;
            self
        }
    }
}

#[cfg(feature = "mysql")]
mod mysql {
    use std::str::FromStr;

    use sqlx::{MySqlPool, mysql::MySqlConnectOptions};

    use super::{ConfigError, MySqlStore, MySqlStoreBuilder};

    impl MySqlStore {
        /// Returns a store that uses the application's pool, with the default settings.
        ///
        /// # Panics
        /// Never, because the default settings are valid.
        pub fn new(pool: MySqlPool) -> Self {
            Self::builder(pool).build().unwrap_or_else(|error| unreachable!("{error}"))
        }

        /// Returns a builder for a store that uses the application's pool.
        pub fn builder(pool: MySqlPool) -> MySqlStoreBuilder {
            MySqlStoreBuilder::with_pool(pool)
        }

        /// Returns a builder for a store with its own pool: `mysql://user:password@host/database`.
        /// The first use connects.
        ///
        /// # Errors
        /// When the URL cannot be used.
        pub fn at(url: &str) -> Result<MySqlStoreBuilder, ConfigError> {
            let options = MySqlConnectOptions::from_str(url).map_err(super::bad_url)?;
            Ok(MySqlStoreBuilder::with_options(options))
        }
    }

    impl MySqlStoreBuilder {
        /// Sets the database of the tables. Default: the one that the connections use.
        pub fn schema<'s>(mut self, name: impl Into<Option<&'s str>>) -> Self {
            self.schema = name.into().map(ToOwned::to_owned);
            self
        }
    }
}

#[cfg(feature = "sqlite")]
mod sqlite {
    use std::str::FromStr;

    use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};

    use super::{ConfigError, SqliteStore, SqliteStoreBuilder};
    use crate::sqlite::SqliteDurability;

    impl SqliteStore {
        /// Returns a store that uses the application's pool, with the default settings.
        ///
        /// # Errors
        /// When the database is in memory and the pool may have several connections, because each would
        /// have a separate database.
        pub fn new(pool: SqlitePool) -> Result<Self, ConfigError> {
            Self::builder(pool)?.build()
        }

        /// Returns a builder for a store that uses the application's pool.
        ///
        /// # Errors
        /// As [`new`](Self::new).
        pub fn builder(pool: SqlitePool) -> Result<SqliteStoreBuilder, ConfigError> {
            if is_in_memory(&pool.connect_options()) && pool.options().get_max_connections() > 1 {
                return Err(ConfigError::new(
                    "the database is in memory and the pool may have several connections, each with a \
                     database of its own; expected a file, or a pool with max_connections(1)",
                ));
            }
            Ok(SqliteStoreBuilder::with_pool(pool))
        }

        /// Returns a builder for a store with its own pool: `sqlite:data/app.db`. The first use opens
        /// the file, and creates it if it does not exist.
        ///
        /// # Errors
        /// When the URL cannot be used.
        pub fn at(url: &str) -> Result<SqliteStoreBuilder, ConfigError> {
            let options = SqliteConnectOptions::from_str(url).map_err(super::bad_url)?;
            if is_in_memory(&options) {
                return Err(ConfigError::new(
                    "the database is in memory, where it ends with its last connection; expected a file, \
                     or the memory driver",
                ));
            }
            Ok(SqliteStoreBuilder::with_options(options))
        }
    }

    impl SqliteStoreBuilder {
        /// Sets which commits survive a loss of power. Default: [`SqliteDurability::Full`], because a logout
        /// that was acknowledged must hold. Not for a pool of the application's, which has its own setting
        /// (`PRAGMA synchronous`).
        pub fn durability(mut self, durability: SqliteDurability) -> Self {
            self.options = Some(durability);
            self
        }
    }

    /// Returns whether a database is gone when its connections are.
    fn is_in_memory(options: &SqliteConnectOptions) -> bool {
        let name = options.get_filename().to_string_lossy();
        name.is_empty()
            || name.contains(":memory:")
            // sqlx tells it nowhere else.
            || format!("{options:?}").contains("in_memory: true")
    }
}

/// Converts an error about a URL. It may quote a part of the URL, so it is not repeated.
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
fn bad_url(_: sqlx::Error) -> ConfigError {
    ConfigError::new(
        "the URL of the database cannot be read; expected postgres://user:password@host:5432/database, \
         mysql://user:password@host:3306/database or sqlite:path/to/file.db, with special characters in \
         user and password percent-encoded",
    )
}
