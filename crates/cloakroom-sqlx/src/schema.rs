//! Making the tables.

use std::time::Duration;

use cloakroom_store::StoreError;

use crate::{
    dialect::{Dialect, Run},
    failure::{Failure, Meaning},
    inner::Inner,
    store::SqlStore,
    table::Table,
};

/// The version of the tables. A change of the tables raises it, and `migrate` then changes them.
pub(crate) const VERSION: i64 = 1;

/// How long making the tables may take.
pub(crate) const MIGRATION: Duration = Duration::from_mins(1);

impl<D: Dialect> Inner<D> {
    /// Makes the tables that are missing. If none is, this needs no right to make tables.
    pub(crate) async fn migrate(&self) -> Result<(), StoreError> {
        let read = |failure| self.failed("read the version of", failure);
        let mut found = self.version().await.map_err(read)?;
        if found.is_none() {
            let make = || self.dialect.migrate(&self.connections, &self.table);
            let made = self.repeat_unbounded(make).await;
            made.map_err(|failure| self.failed("make the tables in", failure))?;
            found = self.version().await.map_err(read)?;
        }
        match found {
            Some(VERSION) => Ok(()),
            found => {
                let found = found.map_or_else(|| "none".to_owned(), |version| version.to_string());
                Err(StoreError::failed(
                    format!("use the tables in {}", self.place),
                    format!(
                        "their version is {found}, and this version of cloakroom-sqlx knows {VERSION}: \
                         use the version that made them, or a later one"
                    ),
                ))
            }
        }
    }

    /// Returns the version of the tables, or `None` if one of them is missing.
    pub(crate) async fn version(&self) -> Result<Option<i64>, Failure> {
        let version = &self.dialect.shared().version;
        match self.repeat(|| self.connections.numbers(version, &[])).await {
            Ok(versions) => Ok(versions.first().copied()),
            Err(Failure::Refused(Meaning::NoTable, _)) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

impl<D: Dialect> SqlStore<D> {
    /// Makes the tables that are missing, under a lock: many processes may call it at the same time, and
    /// again at each start. It needs the right to create tables, which the store itself does not need.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses, or the tables were made by a later version.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        self.0.migrate().await
    }

    /// Returns the statements that [`migrate`](Self::migrate) runs, for a migration tool of the
    /// application's own.
    pub fn schema(&self) -> Vec<String> {
        schema::<D>(&self.0.table)
    }
}

/// Returns the statements that make the tables and write their version.
pub(crate) fn schema<D: Dialect>(table: &Table) -> Vec<String> {
    let state = table.state();
    let mut statements = D::schema(table);
    statements.push(format!(
        "INSERT INTO {state} (id, version, sweeper, swept_until) \
         SELECT 1, {VERSION}, 0, 0 FROM (SELECT 1 AS one) AS once \
         WHERE NOT EXISTS (SELECT 1 FROM {state})"
    ));
    statements
}
