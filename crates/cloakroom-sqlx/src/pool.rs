//! The connections: those of the application's pool, or of a pool of our own.

use std::{
    fmt,
    future::Future,
    ops::{Deref, DerefMut},
    pin::Pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use sqlx::{Connection, Database, error::DatabaseError, pool::PoolConnection};
use tokio::{
    runtime::{Handle, Id},
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

/// The work around the making of a connection.
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
    /// Connections that wait for work. The last one was used last.
    idle: Mutex<Vec<Idle<DB>>>,
}

/// A connection of our own that waits for work.
struct Idle<DB: Database> {
    connection: DB::Connection,
    origin: Origin,
}

/// When a connection was made, and in which runtime, which has to run for the connection to be read.
#[derive(Clone, Copy)]
struct Origin {
    since: Instant,
    runtime: Id,
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

    fn idle(&self) -> MutexGuard<'_, Vec<Idle<DB>>> {
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
        let runtime = Handle::current().id();
        let idle = self.take(runtime).filter(|idle| idle.origin.since.elapsed() < MAX_AGE);
        let Idle { connection, origin } = match idle {
            Some(idle) => idle,
            None => Idle {
                // Rare and large, so it is not a part of each future that waits for a connection.
                connection: Box::pin(self.connect()).await?,
                origin: Origin { since: Instant::now(), runtime },
            },
        };
        Ok(Lease { connection: Leased::Own(connection), back: Some((self, permit, origin)) })
    }

    /// Takes an idle connection: one of this runtime, because another runtime may be busy with something
    /// else. One of another runtime only if there may be no more connections.
    fn take(&self, runtime: Id) -> Option<Idle<DB>> {
        let mut idle = self.idle();
        if let Some(index) = idle.iter().rposition(|idle| idle.origin.runtime == runtime) {
            return Some(idle.remove(index));
        }
        let in_use = self.size as usize - self.permits.available_permits();
        if idle.len() + in_use > self.size as usize { idle.pop() } else { None }
    }
}

/// A connection for one piece of work. One that is dropped before the work is finished is closed, because a
/// reply could be on its way, or a transaction be open that has no end.
pub(crate) struct Lease<'p, DB: Database> {
    connection: Leased<DB>,
    back: Option<(&'p OwnPool<DB>, SemaphorePermit<'p>, Origin)>,
}

enum Leased<DB: Database> {
    Shared(Shared<DB>),
    Own(DB::Connection),
}

/// A connection of the application's pool, which takes back whatever is dropped.
struct Shared<DB: Database> {
    connection: PoolConnection<DB>,
    is_finished: bool,
}

impl<DB: Database> Drop for Shared<DB> {
    fn drop(&mut self) {
        if !self.is_finished {
            self.connection.close_on_drop();
        }
    }
}

impl<DB: Database> Deref for Lease<'_, DB> {
    type Target = DB::Connection;

    fn deref(&self) -> &DB::Connection {
        match &self.connection {
            Leased::Shared(shared) => &shared.connection,
            Leased::Own(connection) => connection,
        }
    }
}

impl<DB: Database> DerefMut for Lease<'_, DB> {
    fn deref_mut(&mut self) -> &mut DB::Connection {
        match &mut self.connection {
            Leased::Shared(shared) => &mut shared.connection,
            Leased::Own(connection) => connection,
        }
    }
}

impl<DB: Database> Lease<'_, DB> {
    /// Ends the use of a connection for a statement: keeps the connection if a reply came.
    pub(crate) fn finish<T>(self, result: &Result<T, Failure>) {
        if matches!(result, Ok(_) | Err(Failure::Refused(..))) {
            self.keep();
        }
    }

    /// Ends the use of a connection for a transaction: keeps the connection if all went well. Otherwise its
    /// locks end with it, because sqlx ends a transaction that failed at the next use only.
    pub(crate) fn finish_transaction<T>(self, result: &Result<T, Failure>) {
        if result.is_ok() {
            self.keep();
        }
    }

    fn keep(self) {
        match (self.connection, self.back) {
            (Leased::Shared(mut shared), _) => shared.is_finished = true,
            (Leased::Own(connection), Some((pool, _permit, origin))) => {
                pool.idle().push(Idle { connection, origin });
            }
            (Leased::Own(_), None) => {}
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

    /// Returns how long a call may take, with the wait for a connection.
    pub(crate) fn patience(&self) -> Duration {
        let wait = match &self.source {
            Source::Shared(pool) => pool.options().get_acquire_timeout(),
            Source::Own(pool) => pool.wait,
        };
        wait.saturating_add(self.limit)
    }

    /// Returns how long a statement may take.
    pub(crate) fn limit(&self) -> Duration {
        self.limit
    }

    /// Waits for a connection.
    pub(crate) async fn acquire(&self) -> Result<Lease<'_, DB>, Failure> {
        let lease = match &self.source {
            // Large, because it may connect.
            Source::Shared(pool) => Box::pin(pool.acquire())
                .await
                .map(|connection| Shared { connection, is_finished: false })
                .map(|shared| Lease { connection: Leased::Shared(shared), back: None }),
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

    /// Waits for the result of `work` within the time limit of a statement. The work is pinned where it was
    /// made, because a future that takes another one by value has room for it twice.
    pub(crate) async fn within<T>(
        &self,
        work: Pin<&mut impl Future<Output = Result<T, sqlx::Error>>>,
    ) -> Result<T, Failure> {
        self.within_span(self.limit, work).await
    }

    /// Waits for the result of `work` for a time.
    pub(crate) async fn within_span<T>(
        &self,
        span: Duration,
        work: Pin<&mut impl Future<Output = Result<T, sqlx::Error>>>,
    ) -> Result<T, Failure> {
        match timeout(span, work).await {
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
