//! The connections: those of the application's pool, or of a pool of our own.

use std::{
    fmt,
    future::Future,
    ops::{Deref, DerefMut},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection, Database, error::DatabaseError, pool::PoolConnection};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use crate::{
    dialect::BoxFuture,
    failure::{Failure, Meaning},
};

/// How long a connection of our own is used, so that none stays with a server that others have left.
const MAX_AGE: Duration = Duration::from_mins(30);

/// Connections to a database.
pub struct Pool<DB: Database> {
    source: Source<DB>,
    /// How long a statement may take.
    limit: Duration,
    meaning: fn(&dyn DatabaseError) -> Meaning,
}

enum Source<DB: Database> {
    Shared(sqlx::Pool<DB>),
    Own(Box<OwnPool<DB>>),
}

/// What a database needs around the making of a connection.
pub(crate) struct Hooks<DB: Database> {
    pub(crate) before: fn(&<DB::Connection as Connection>::Options),
    pub(crate) after: fn(&mut DB::Connection) -> BoxFuture<'_, Result<(), sqlx::Error>>,
}

/// A pool that only the store uses. sqlx's own tests each connection that is given back, with a round trip
/// and in a task, and so it cannot be dropped outside of a runtime.
pub(crate) struct OwnPool<DB: Database> {
    options: <DB::Connection as Connection>::Options,
    hooks: Hooks<DB>,
    size: u32,
    /// How long a request may wait for a connection.
    wait: Duration,
    permits: Semaphore,
    /// Connections that wait for work, and when they were made. The last one was used last.
    idle: Mutex<Vec<(DB::Connection, Instant)>>,
}

impl<DB: Database> OwnPool<DB> {
    pub(crate) fn new(
        options: <DB::Connection as Connection>::Options,
        hooks: Hooks<DB>,
        size: u32,
        wait: Duration,
    ) -> Self {
        let permits = Semaphore::new(size as usize);
        Self { options, hooks, size, wait, permits, idle: Mutex::default() }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<(DB::Connection, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<DB::Connection, sqlx::Error> {
        (self.hooks.before)(&self.options);
        let mut connection = DB::Connection::connect_with(&self.options).await?;
        (self.hooks.after)(&mut connection).await?;
        Ok(connection)
    }

    async fn acquire(&self) -> Result<Lease<'_, DB>, sqlx::Error> {
        let permit = self.permits.acquire().await.map_err(|_| sqlx::Error::PoolClosed)?;
        let idle = self.idle().pop();
        let (connection, since) = match idle {
            Some((connection, since)) if since.elapsed() < MAX_AGE => (connection, since),
            _ => (self.connect().await?, Instant::now()),
        };
        Ok(Lease { connection: Leased::Own(connection), back: Some((self, permit, since)) })
    }
}

/// A connection for one piece of work. A connection of our own that is dropped is closed.
pub(crate) struct Lease<'p, DB: Database> {
    connection: Leased<DB>,
    back: Option<(&'p OwnPool<DB>, SemaphorePermit<'p>, Instant)>,
}

enum Leased<DB: Database> {
    Shared(PoolConnection<DB>),
    Own(DB::Connection),
}

impl<DB: Database> Deref for Lease<'_, DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        match &self.connection {
            Leased::Shared(connection) => connection,
            Leased::Own(connection) => connection,
        }
    }
}

impl<DB: Database> DerefMut for Lease<'_, DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        match &mut self.connection {
            Leased::Shared(connection) => connection,
            Leased::Own(connection) => connection,
        }
    }
}

impl<DB: Database> Lease<'_, DB> {
    /// Ends the use of a connection: keeps it if a reply came, and closes it otherwise, because the reply
    /// could still be on its way.
    pub(crate) fn finish<T>(self, result: &Result<T, Failure>) {
        if !matches!(result, Ok(_) | Err(Failure::Refused(..))) {
            return self.close();
        }
        if let (Leased::Own(connection), Some((pool, _permit, since))) =
            (self.connection, self.back)
        {
            pool.idle().push((connection, since));
        }
    }

    /// Closes the connection.
    pub(crate) fn close(self) {
        if let Leased::Shared(mut connection) = self.connection {
            connection.close_on_drop();
        }
    }
}

impl<DB: Database> Pool<DB> {
    pub(crate) fn shared(
        pool: sqlx::Pool<DB>,
        limit: Duration,
        meaning: fn(&dyn DatabaseError) -> Meaning,
    ) -> Self {
        Self { source: Source::Shared(pool), limit, meaning }
    }

    pub(crate) fn own(
        pool: OwnPool<DB>,
        limit: Duration,
        meaning: fn(&dyn DatabaseError) -> Meaning,
    ) -> Self {
        Self { source: Source::Own(Box::new(pool)), limit, meaning }
    }

    /// Returns the greatest number of connections.
    pub(crate) fn max_connections(&self) -> u32 {
        match &self.source {
            Source::Shared(pool) => pool.options().get_max_connections(),
            Source::Own(pool) => pool.size,
        }
    }

    /// Waits for a connection.
    pub(crate) async fn acquire(&self) -> Result<Lease<'_, DB>, Failure> {
        let lease = match &self.source {
            Source::Shared(pool) => pool
                .acquire()
                .await
                .map(|connection| Lease { connection: Leased::Shared(connection), back: None }),
            Source::Own(pool) => match timeout(pool.wait, pool.acquire()).await {
                Ok(lease) => lease,
                Err(_) => Err(sqlx::Error::PoolTimedOut),
            },
        };
        lease.map_err(|error| match Failure::of(error, self.meaning) {
            // Nothing was sent but the login.
            Failure::Lost(error) => Failure::NoConnection(error),
            failure => failure,
        })
    }

    /// Waits for the result of `work` within the time limit of a statement.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Failure> {
        match timeout(self.limit, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(Failure::of(error, self.meaning)),
            Err(_) => Err(Failure::TimedOut),
        }
    }
}

impl<DB: Database> fmt::Debug for Pool<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("limit", &self.limit).finish_non_exhaustive()
    }
}
