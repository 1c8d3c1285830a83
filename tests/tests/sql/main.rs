//! The stores in SQL databases, on real servers, healthy and not.

mod rules;

use std::sync::Arc;

use cloakroom::{
    clock::FakeClock,
    sql::{MySqlStore, PgStatements, PostgresStore, SqliteStore},
    store::Store,
};
use cloakroom_tests::databases::{MariaDbServer, PostgresServer};
use tempfile::TempDir;

/// A database to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Database {
    Postgres(PgStatements),
    MariaDb,
    Sqlite,
}

impl Database {
    const ALL: [Self; 4] = [
        Self::Postgres(PgStatements::Prepared),
        Self::Postgres(PgStatements::Simple),
        Self::MariaDb,
        Self::Sqlite,
    ];

    /// Returns a store with new tables, and what has to outlive it.
    async fn store(self, clock: &Arc<FakeClock>) -> (Arc<dyn Store>, Option<TempDir>) {
        match self {
            Self::Postgres(statements) => {
                let url = PostgresServer::shared().database();
                let store = PostgresStore::at(&url).unwrap().statements(statements);
                let store = store.clock(clock.clone()).migrate(true).sweep_budget(None);
                (Arc::new(store.build().unwrap()), None)
            }
            Self::MariaDb => {
                let store = MySqlStore::at(&MariaDbServer::shared().database()).unwrap();
                let store = store.clock(clock.clone()).migrate(true).sweep_budget(None);
                (Arc::new(store.build().unwrap()), None)
            }
            Self::Sqlite => {
                let folder = tempfile::tempdir().unwrap();
                let url = format!("sqlite:{}", folder.path().join("app.db").display());
                let store = SqliteStore::at(&url).unwrap();
                let store = store.clock(clock.clone()).migrate(true).sweep_budget(None);
                (Arc::new(store.build().unwrap()), Some(folder))
            }
        }
    }
}
