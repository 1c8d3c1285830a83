//! The connections: the application's pool, or one of our own.

use std::{
    collections::VecDeque,
    fmt,
    future::Future,
    ops::{Deref, DerefMut},
    sync::{Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{
    Connection, Database,
    error::DatabaseError,
    pool::{PoolConnection, PoolOptions},
};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::failure::{Failure, Meaning};

/// How long a connection of our own is used. Servers behind a proxy are left in this time.
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
    Own(Box<Own<DB>>),
}

/// A pool that only the store uses. A connection that has done its work is kept here and not given back,
/// because sqlx tests each connection that is given back with a round trip.
struct Own<DB: Database> {
    /// Opened by the first use, because a pool needs a runtime.
    pool: OnceLock<sqlx::Pool<DB>>,
    options: PoolOptions<DB>,
    connect: <DB::Connection as Connection>::Options,
    idle: Mutex<VecDeque<(PoolConnection<DB>, Instant)>>,
    permits: Semaphore,
}

impl<DB: Database> Own<DB> {
    fn pool(&self) -> &sqlx::Pool<DB> {
        self.pool.get_or_init(|| self.options.clone().connect_lazy_with(self.connect.clone()))
    }

    fn take_idle(&self) -> Option<(PoolConnection<DB>, Instant)> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.pop_back()
    }

    fn keep(&self, connection: PoolConnection<DB>, since: Instant) {
        if since.elapsed() < MAX_AGE {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
            idle.push_back((connection, since));
        }
    }
}

impl<DB: Database> fmt::Debug for Pool<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("limit", &self.limit).finish_non_exhaustive()
    }
}

/// A connection for one piece of work.
pub(crate) struct Lease<'p, DB: Database> {
    connection: PoolConnection<DB>,
    own: Option<(&'p Own<DB>, SemaphorePermit<'p>, Instant)>,
}

impl<DB: Database> Deref for Lease<'_, DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        &self.connection
    }
}

impl<DB: Database> DerefMut for Lease<'_, DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        &mut self.connection
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
        options: PoolOptions<DB>,
        connect: <DB::Connection as Connection>::Options,
        limit: Duration,
        meaning: fn(&dyn DatabaseError) -> Meaning,
    ) -> Self {
        let permits = Semaphore::new(options.get_max_connections() as usize);
        let options = options.test_before_acquire(false);
        let (pool, idle) = (OnceLock::new(), Mutex::default());
        let own = Own { pool, options, connect, idle, permits };
        Self { source: Source::Own(Box::new(own)), limit, meaning }
    }

    /// Returns the greatest number of connections.
    pub(crate) fn max_connections(&self) -> u32 {
        match &self.source {
            Source::Shared(pool) => pool.options().get_max_connections(),
            Source::Own(own) => own.options.get_max_connections(),
        }
    }

    /// Waits for a connection.
    pub(crate) async fn acquire(&self) -> Result<Lease<'_, DB>, Failure> {
        let lease = match &self.source {
            Source::Shared(pool) => {
                pool.acquire().await.map(|connection| Lease { connection, own: None })
            }
            Source::Own(own) => acquire_own(own).await,
        };
        lease.map_err(|error| match Failure::of(error, self.meaning) {
            // Nothing was sent but the login.
            Failure::Lost(error) => Failure::NoConnection(error),
            failure => failure,
        })
    }

    /// Waits for the result of `work`, which uses the connection, within the time limit.
    ///
    /// The connection is closed if the work did not end well, because a reply could still be on its way.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Failure> {
        match tokio::time::timeout(self.limit, work).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => Err(Failure::of(error, self.meaning)),
            Err(_) => Err(Failure::TimedOut),
        }
    }
}

async fn acquire_own<DB: Database>(own: &Own<DB>) -> Result<Lease<'_, DB>, sqlx::Error> {
    let limit = own.options.get_acquire_timeout();
    let permit = tokio::time::timeout(limit, own.permits.acquire()).await;
    let permit = permit.map_err(|_| sqlx::Error::PoolTimedOut)?;
    let permit = permit.map_err(|_| sqlx::Error::PoolClosed)?;
    let (connection, since) = match own.take_idle() {
        Some(idle) => idle,
        None => (own.pool().acquire().await?, Instant::now()),
    };
    Ok(Lease { connection, own: Some((own, permit, since)) })
}

impl<DB: Database> Lease<'_, DB> {
    /// Ends the use of a connection: keeps it if the work ended well, and closes it otherwise.
    pub(crate) fn finish<T>(self, result: &Result<T, Failure>) {
        match result {
            Ok(_) | Err(Failure::Refused(..)) => {
                if let Some((own, _permit, since)) = self.own {
                    own.keep(self.connection, since);
                }
            }
            Err(_) => self.close(),
        }
    }

    /// Closes the connection.
    pub(crate) fn close(mut self) {
        self.connection.close_on_drop();
    }
}
