//! Builds the SQL stores from their settings.

use cloakroom_sqlx::ConfigError;

use crate::{
    DatabaseStatements, DatabaseTable, DriverKind, Durability, Secret, SettingsError,
    refused::Refused,
};

/// Makes a store from the table's settings. The first use connects.
macro_rules! store {
    ($table:expr, $store:ty, $url:expr, $($more:tt)*) => {{
        let table = $table;
        let builder = <$store>::at($url).map_err(refused("database.url"))?;
        let builder = builder
            .table(&table.table)
            .migrate(table.migrate)
            .pool_size(table.pool_size)
            .connect_timeout(table.connect_timeout)
            .query_timeout(table.query_timeout);
        let builder = builder$($more)*;
        let key = if table.schema.is_some() { "database.schema" } else { "database.table" };
        builder.build().map_err(refused(key))
    }};
}

fn refused(key: &'static str) -> impl Fn(ConfigError) -> Refused {
    move |error| Refused::new(key, error.to_string())
}

impl DatabaseTable {
    /// The database of the driver `sqlite`, if no URL is set.
    pub const DEFAULT_SQLITE: &'static str = "sqlite:tmp/sessions.db";

    /// Builds the store of the driver `postgres`. The first use connects.
    ///
    /// # Errors
    /// When settings are wrong or have no effect with this driver. The error names them.
    #[cfg(feature = "postgres")]
    pub fn postgres(&self) -> Result<cloakroom_sqlx::PostgresStore, SettingsError> {
        Ok(self.postgres_store()?)
    }

    /// Builds the store of the driver `mysql`. The first use connects.
    ///
    /// # Errors
    /// As [`postgres`](Self::postgres).
    #[cfg(feature = "mysql")]
    pub fn mysql(&self) -> Result<cloakroom_sqlx::MySqlStore, SettingsError> {
        Ok(self.mysql_store()?)
    }

    /// Builds the store of the driver `sqlite`. The first use opens the file.
    ///
    /// # Errors
    /// As [`postgres`](Self::postgres).
    #[cfg(feature = "sqlite")]
    pub fn sqlite(&self) -> Result<cloakroom_sqlx::SqliteStore, SettingsError> {
        Ok(self.sqlite_store()?)
    }

    #[cfg(feature = "postgres")]
    fn postgres_store(&self) -> Result<cloakroom_sqlx::PostgresStore, Refused> {
        use cloakroom_sqlx::{PgStatements, PostgresStore};
        self.refuse_durability()?;
        let url = self.url_of(DriverKind::Postgres, &["postgres:", "postgresql:"])?;
        let statements = match self.statements {
            DatabaseStatements::Prepared => PgStatements::Prepared,
            DatabaseStatements::Simple => PgStatements::Simple,
        };
        store!(self, PostgresStore, url, .schema(self.schema.as_deref()).statements(statements))
    }

    #[cfg(feature = "mysql")]
    fn mysql_store(&self) -> Result<cloakroom_sqlx::MySqlStore, Refused> {
        use cloakroom_sqlx::MySqlStore;
        self.refuse_durability()?;
        self.refuse_statements()?;
        let url = self.url_of(DriverKind::MySql, &["mysql:", "mariadb:"])?;
        store!(self, MySqlStore, url, .schema(self.schema.as_deref()))
    }

    #[cfg(feature = "sqlite")]
    fn sqlite_store(&self) -> Result<cloakroom_sqlx::SqliteStore, Refused> {
        use cloakroom_sqlx::{SqliteDurability, SqliteStore};
        self.refuse_statements()?;
        if self.schema.is_some() {
            let problem = "it has no effect with the driver `sqlite`; remove it";
            return Err(Refused::new("database.schema", problem));
        }
        let url = match self.url {
            None => Self::DEFAULT_SQLITE,
            Some(_) => self.url_of(DriverKind::Sqlite, &["sqlite:"])?,
        };
        let durability = match self.durability {
            Durability::Full => SqliteDurability::Full,
            Durability::Fast => SqliteDurability::Fast,
        };
        store!(self, SqliteStore, url, .durability(durability))
    }

    /// Checks the settings of a driver that is built in.
    pub(super) fn check(&self, driver: DriverKind) -> Result<(), Refused> {
        match driver {
            #[cfg(feature = "postgres")]
            DriverKind::Postgres => self.postgres_store().map(drop),
            #[cfg(feature = "mysql")]
            DriverKind::MySql => self.mysql_store().map(drop),
            #[cfg(feature = "sqlite")]
            DriverKind::Sqlite => self.sqlite_store().map(drop),
            _ => Ok(()),
        }
    }

    /// Returns the URL, if it is one of the driver's.
    fn url_of(&self, driver: DriverKind, schemes: &[&str]) -> Result<&str, Refused> {
        let url = self.url.as_ref().map(Secret::expose).filter(|url| {
            schemes.iter().any(|scheme| {
                url.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
            })
        });
        url.ok_or_else(|| {
            let problem = format!(
                "the driver `{}` needs a URL that begins with {}",
                driver.name(),
                schemes[0]
            );
            Refused::new("database.url", problem)
        })
    }

    #[cfg(any(feature = "mysql", feature = "postgres"))]
    fn refuse_durability(&self) -> Result<(), Refused> {
        let problem =
            "it has an effect with the driver `sqlite` only; the settings of the database decide";
        match self.durability {
            Durability::Full => Ok(()),
            Durability::Fast => Err(Refused::new("database.durability", problem)),
        }
    }

    #[cfg(any(feature = "mysql", feature = "sqlite"))]
    fn refuse_statements(&self) -> Result<(), Refused> {
        let problem = "it has an effect with the driver `postgres` only; remove it";
        match self.statements {
            DatabaseStatements::Prepared => Ok(()),
            DatabaseStatements::Simple => Err(Refused::new("database.statements", problem)),
        }
    }
}
