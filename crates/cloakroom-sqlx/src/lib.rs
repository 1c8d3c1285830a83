//! Stores sessions in the application's database: PostgreSQL, SQLite, MariaDB or MySQL.
//!
//! ```no_run
//! # #[cfg(feature = "postgres")]
//! # async fn start() -> Result<(), Box<dyn std::error::Error>> {
//! use cloakroom_sqlx::{PostgresStore, sqlx::PgPool};
//!
//! let pool = PgPool::connect("postgres://shop:secret@db.example/shop").await?;
//! let store = PostgresStore::new(pool);
//! store.migrate().await?;
//! # Ok(()) }
//! ```
//!
//! | store | database |
//! |---|---|
//! | `PostgresStore` (feature `postgres`) | PostgreSQL 14 or newer |
//! | `SqliteStore` (feature `sqlite`) | SQLite, which is built in |
//! | `MySqlStore` (feature `mysql`) | MariaDB 10.6 or newer; MySQL 8 or newer, which our tests do not run |
//!
//! Each is made with the application's pool (`new`, `builder`), or with a URL for its own connections
//! (`at`). The feature `tls` lets the latter use TLS.
//!
//! # Which connections?
//! Connections of the store's own are the default of the settings, and faster: sqlx tests a connection of
//! a pool with a round trip when it is taken and another when it is given back, and the store's own need no
//! test because a statement whose connection broke is sent again.
//!
//! With the application's pool, a handler that holds a connection while it calls `session.commit()` waits
//! for a second one. If all connections are held by such handlers, they wait until the pool's
//! `acquire_timeout`.
//!
//! # Tables
//! `migrate` makes three: the sessions (`cloakroom_sessions`), one row with the version and the process that
//! sweeps (`…_state`), and the logs of tools (`…_log`). `cloakroom schema` prints the statements for a
//! migration tool of your own. To use the tables, a role needs SELECT, INSERT, UPDATE and DELETE on them.
//!
//! There is no index on the deadline, because an update of an indexed column writes to the index. On
//! PostgreSQL, a touch or a write of a session that is there is then an update in place (HOT).
//!
//! # Costs
//! | request | statements |
//! |---|---|
//! | does not use the session | 0 |
//! | reads | 1, and 1 more if a touch is due |
//! | writes, regenerates or destroys | 2 |
//!
//! Each is one statement without a transaction around it, except that on SQLite, MariaDB and MySQL a
//! `regenerate` is a transaction of two.
//!
//! # What is lost when?
//! A commit is acknowledged when the database has committed, so what the database keeps after a crash is
//! what the store keeps. A touch alone does not wait for the disk on PostgreSQL: a loss of power costs its
//! session at most a tenth of the idle timeout.
//!
//! The database's own settings decide the rest. `synchronous_commit = off`, an UNLOGGED table,
//! `innodb_flush_log_at_trx_commit = 2` or an asynchronous standby that becomes the primary can each undo a
//! logout that was acknowledged. `cloakroom doctor` names those that it can see.
//!
//! # Never a replica
//! Give the store the primary's address. A replica that lags behind signs visitors out who have just signed
//! in, shows sessions that have ended, and refuses touches. A server that has become read-only in a fail-over
//! makes requests fail with status 503 until the connections reach the new primary.
//!
//! # Poolers
//! PgBouncer before 1.21 and poolers like it mix up prepared statements. Set
//! `statements(PgStatements::Simple)` on the builder, or `database.statements = "simple"` in the settings.
//! The store uses no session state: no `LISTEN`, no session advisory lock, no `SET`.
//!
//! # Contention
//! Writers of one session take turns within a process. Between processes, the row's lock and the revision
//! decide. A statement that fails because another one was in its way (SQLSTATE 40001 and 40P01, MySQL's 1213
//! and 1205, `SQLITE_BUSY`) is sent again, up to 8 times with pauses.
//!
//! # SQLite
//! One process writes at a time. The store's own connections use WAL, so readers do not wait for writers.
//! Use a local disk: the locks of NFS and SMB do not work. A database in memory belongs to its connection, so
//! it is refused for a pool of several.

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
