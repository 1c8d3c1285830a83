//! Settings of the stores.

use std::{
    fmt,
    sync::{Arc, Mutex},
    time::Duration,
};

use cloakroom_store::{
    SweepBudget,
    clock::{Clock, SystemClock},
};
use tokio::sync::OnceCell;

use crate::{
    dialect::{ConnectOptions, Dialect},
    inner::Inner,
    pool::{Hooks, OwnPool, Pool},
    store::SqlStore,
    table::{ConfigError, DEFAULT_TABLE, Table},
};

/// The settings of a [`SqlStore`].
#[must_use = "settings do nothing until `build`"]
pub struct SqlStoreBuilder<D: Dialect> {
    source: Source<D>,
    pub(crate) schema: Option<String>,
    table: String,
    migrates: bool,
    query_timeout: Duration,
    /// The number of connections of a pool of our own, and how long it waits for one.
    pool_size: Option<u32>,
    connect_timeout: Option<Duration>,
    budget: Option<SweepBudget>,
    clock: Arc<dyn Clock>,
    pub(crate) options: D::Options,
}

/// Where connections come from.
enum Source<D: Dialect> {
    Pool(sqlx::Pool<D::Database>),
    Options(Box<ConnectOptions<D>>),
}

impl<D: Dialect> SqlStoreBuilder<D> {
    pub(crate) fn with_pool(pool: sqlx::Pool<D::Database>) -> Self {
        Self::new(Source::Pool(pool))
    }

    pub(crate) fn with_options(options: ConnectOptions<D>) -> Self {
        Self::new(Source::Options(Box::new(options)))
    }

    fn new(source: Source<D>) -> Self {
        Self {
            source,
            schema: None,
            table: DEFAULT_TABLE.to_owned(),
            migrates: false,
            query_timeout: Duration::from_secs(5),
            pool_size: None,
            connect_timeout: None,
            budget: Some(SweepBudget::default()),
            clock: Arc::new(SystemClock),
            options: D::Options::default(),
        }
    }

    /// Sets the name of the table. Default: `cloakroom_sessions`. Accepts 1 to 48 letters (a to z), digits
    /// and underscores. The names of the tables beside it begin with it.
    pub fn table(mut self, name: &str) -> Self {
        name.clone_into(&mut self.table);
        self
    }

    /// Sets whether the first use makes the tables that are missing
    /// ([`SqlStore::migrate`]). Default: off, because that needs a role with the right to create tables.
    /// Turn it on for development.
    pub fn migrate(mut self, on: bool) -> Self {
        self.migrates = on;
        self
    }

    /// Sets how long a statement may take before the request fails. Default: 5 seconds. A call takes no
    /// longer than this and the wait for a connection together, however often a statement is sent again.
    pub fn query_timeout(mut self, span: Duration) -> Self {
        self.query_timeout = span;
        self
    }

    /// Sets the greatest number of connections of the store's own pool. Default: 4. Not for a pool of the
    /// application's, which has its own setting.
    pub fn pool_size(mut self, connections: u32) -> Self {
        self.pool_size = Some(connections);
        self
    }

    /// Sets how long the store's own pool may wait for a connection before the request fails. Default: one
    /// second. Not for a pool of the application's, which has its own setting.
    pub fn connect_timeout(mut self, span: Duration) -> Self {
        self.connect_timeout = Some(span);
        self
    }

    /// Sets how often and how fast expired rows are deleted in the background. Default:
    /// [`SweepBudget::default`]. `None` turns the background task off, and then expired rows stay until
    /// the application calls [`Sweep::sweep`](cloakroom_store::Sweep::sweep).
    pub fn sweep_budget(mut self, budget: Option<SweepBudget>) -> Self {
        self.budget = budget;
        self
    }

    /// Sets the clock. Default: the operating system's. Tests use another one.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Returns the table that the settings name.
    pub(crate) fn named_table(&self) -> Result<Table, ConfigError> {
        Table::new(self.schema.as_deref(), &self.table, D::QUOTE)
    }

    /// Checks the settings and returns the store. The first use connects.
    ///
    /// # Errors
    /// When a setting cannot be used. The error names it.
    pub fn build(self) -> Result<SqlStore<D>, ConfigError> {
        let table = self.named_table()?;
        if self.query_timeout.is_zero() || self.connect_timeout.is_some_and(|span| span.is_zero()) {
            return Err(ConfigError::new("a timeout is 0; expected more than 0"));
        }
        let (connections, place) = match self.source {
            Source::Pool(pool) => {
                let ours = [
                    self.pool_size.map(|_| "pool_size"),
                    self.connect_timeout.map(|_| "connect_timeout"),
                    D::own_setting(&self.options),
                ];
                if let Some(setting) = ours.into_iter().flatten().next() {
                    return Err(ConfigError::new(format!(
                        "{setting} is a setting of the store's own connections; set the like on the \
                         application's pool"
                    )));
                }
                let place = D::describe(&pool.connect_options());
                (Pool::shared(pool, self.query_timeout, D::meaning), place)
            }
            Source::Options(connect) => {
                let size = self.pool_size.unwrap_or(4);
                if size == 0 {
                    return Err(ConfigError::new("pool_size is 0; expected 1 or more"));
                }
                let wait = self.connect_timeout.unwrap_or(Duration::from_secs(1));
                let place = D::describe(&connect);
                let hooks = Hooks { before: D::connect_begins, after: D::connected };
                let connect = D::connecting(*connect, &self.options, self.query_timeout);
                let pool = OwnPool::new(connect, hooks, size, wait);
                (Pool::own(pool, self.query_timeout, D::meaning), place)
            }
        };
        Ok(SqlStore(Arc::new(Inner {
            dialect: D::new(&table, &self.options),
            connections: connections.into(),
            place: format!("{} at {place} in {}", D::NAME, table.sessions()),
            table,
            clock: self.clock,
            budget: self.budget,
            migrates: self.migrates,
            migrated: OnceCell::new(),
            sweeping: Mutex::default(),
            round: tokio::sync::Mutex::default(),
        })))
    }
}

/// Shows the table.
impl<D: Dialect> fmt::Debug for SqlStoreBuilder<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStoreBuilder")
            .field("schema", &self.schema)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}
