//! Stores sessions in the application's database: PostgreSQL, SQLite, MariaDB or MySQL.

#![cfg_attr(docsrs, feature(doc_cfg))]
// Each database uses a part of what they share.
#![cfg_attr(
    not(all(feature = "mysql", feature = "postgres", feature = "sqlite")),
    allow(dead_code, unused_imports, unused_macros)
)]

mod builder;
mod dialect;
mod failure;
mod health;
mod inner;
mod log;
#[cfg(feature = "mysql")]
mod mysql;
mod pool;
#[cfg(feature = "postgres")]
mod postgres;
mod schema;
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod store;
mod stores;
mod sweeper;
mod table;
mod value;

pub use builder::SqlStoreBuilder;
pub use cloakroom_store::SweepBudget;
pub use health::Health;
#[cfg(feature = "postgres")]
pub use postgres::PgStatements;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteDurability;
pub use sqlx;
pub use store::SqlStore;
#[cfg(feature = "mysql")]
pub use stores::{MySqlStore, MySqlStoreBuilder};
#[cfg(feature = "postgres")]
pub use stores::{PostgresStore, PostgresStoreBuilder};
#[cfg(feature = "sqlite")]
pub use stores::{SqliteStore, SqliteStoreBuilder};
pub use table::ConfigError;
