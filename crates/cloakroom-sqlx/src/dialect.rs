//! The differences between the databases.

use std::{fmt, future::Future, path::PathBuf, pin::Pin, time::Duration};

use cloakroom_store::{
    Commit, Cursor, RecordKey, Revision, SweepProgress, SweepRound, clock::Timestamp,
};
use sqlx::{Connection, Transaction, error::DatabaseError};

use crate::{
    failure::{Failure, Meaning},
    health::Findings,
    pool::Pool,
    sql::{Sql, Statements},
    table::Table,
    value::{Row, Value},
};

/// The result of the statement that carries out a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It took effect. Holds the revision of the record, of a destroyed one the last.
    Done(Revision),
    /// The row that it names is not there as it was expected, or is taken.
    Nothing,
}

impl Applied {
    /// Reads the number of rows that a step changed. The revision is the one of the record after it.
    pub(crate) fn of(changed: Result<u64, Failure>, revision: Revision) -> Result<Self, Failure> {
        match changed {
            Ok(0) | Err(Failure::Refused(Meaning::Taken, _)) => Ok(Self::Nothing),
            Ok(_) => Ok(Self::Done(revision)),
            Err(failure) => Err(failure),
        }
    }

    /// Reads the last revision of a record that was destroyed, if one was.
    pub(crate) fn with_last(revision: Option<i64>) -> Self {
        revision.map_or(Self::Nothing, |last| Self::Done(Revision(last.cast_unsigned())))
    }
}

/// Runs statements on connections of a pool.
pub trait Run: Send + Sync + 'static {
    /// Runs a statement and returns the number of rows that it changed.
    fn change(
        &self,
        sql: &Sql,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<u64, Failure>> + Send;

    /// Runs a query whose only column is a number.
    fn numbers(
        &self,
        sql: &Sql,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<i64>, Failure>> + Send;

    /// Runs a query for bytes and a number.
    fn pairs(
        &self,
        sql: &Sql,
        values: &[Value<'_>],
    ) -> impl Future<Output = Result<Vec<(Vec<u8>, i64)>, Failure>> + Send;

    /// Returns the row under a key.
    fn row(
        &self,
        select: &Sql,
        key: &RecordKey,
    ) -> impl Future<Output = Result<Option<Row>, Failure>> + Send;

    /// Returns the greatest number of connections.
    fn size(&self) -> u32;

    /// Returns how long a call may take, with the wait for a connection.
    fn patience(&self) -> Duration;

    /// Returns how long a statement may take.
    fn limit(&self) -> Duration;
}

/// How a database is connected to.
pub(crate) type ConnectOptions<D> =
    <<<D as Dialect>::Database as sqlx::Database>::Connection as Connection>::Options;

/// A future in a box.
pub(crate) type BoxFuture<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

/// Statements for one database.
pub trait Dialect: fmt::Debug + Send + Sync + Sized + 'static {
    /// The database as sqlx knows it.
    type Database: sqlx::Database;
    /// Its connections.
    type Connections: Run + From<Pool<Self::Database>>;
    /// Settings that only this database has.
    type Options: Clone + Default + fmt::Debug + Send + Sync;

    /// The driver's name in settings and logs.
    const NAME: &'static str;
    /// The quote around names.
    const QUOTE: char;

    /// Makes the statements for a table.
    fn new(table: &Table, options: &Self::Options) -> Self;

    /// Returns what an error of the database means.
    fn meaning(error: &dyn DatabaseError) -> Meaning;

    /// Returns what to do about an error, if the error does not say it.
    fn advice(error: &dyn DatabaseError) -> Option<&'static str> {
        let _ = error;
        None
    }

    /// Completes the settings of connections that the store makes itself, whose statements may take this
    /// long.
    fn connecting(
        connect: ConnectOptions<Self>,
        options: &Self::Options,
        limit: Duration,
    ) -> ConnectOptions<Self>;

    /// Prepares what the store is about to connect to.
    fn connect_begins(connect: &ConnectOptions<Self>) {
        let _ = connect;
    }

    /// Prepares a connection that the store has made.
    fn connected(
        connection: &mut <Self::Database as sqlx::Database>::Connection,
    ) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        let _ = connection;
        Box::pin(async { Ok(()) })
    }

    /// Returns the name of a setting that is only for connections that the store makes itself, if it is set.
    fn own_setting(options: &Self::Options) -> Option<&'static str> {
        let _ = options;
        None
    }

    /// Names the database, without user and password.
    fn describe(connect: &ConnectOptions<Self>) -> String;

    /// Returns the statements that all databases share.
    fn shared(&self) -> &Statements;

    /// Carries out a step, which gives its record this revision.
    fn apply(
        &self,
        connections: &Self::Connections,
        commit: &Commit,
        revision: Revision,
        now: Timestamp,
    ) -> impl Future<Output = Result<Applied, Failure>> + Send;

    /// Deletes the expired rows among about `limit` rows. Returns where the next call begins.
    fn sweep(
        &self,
        connections: &Self::Connections,
        from: Cursor,
        limit: usize,
        now: Timestamp,
    ) -> impl Future<Output = Result<(SweepProgress, Cursor), Failure>> + Send;

    /// Returns the statements that make the tables, in order.
    fn schema(table: &Table) -> Vec<String>;

    /// Runs the statements that make the tables, under a lock.
    fn migrate(
        &self,
        connections: &Self::Connections,
        table: &Table,
    ) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Examines the server and the table.
    fn examine(
        &self,
        connections: &Self::Connections,
        table: &Table,
    ) -> impl Future<Output = Result<Findings, Failure>> + Send;
}

/// Ends a transaction: commits it if its last statement changed a row, and else undoes it. Returns how many
/// rows that were.
pub(crate) async fn end<DB: sqlx::Database>(
    transaction: Transaction<'_, DB>,
    changed: u64,
) -> Result<u64, sqlx::Error> {
    match changed {
        0 => transaction.rollback().await?,
        _ => transaction.commit().await?,
    }
    Ok(changed)
}

/// Returns the result of a piece of a sweep, and where the next one begins: at `next`, or at the start if
/// the round is over.
pub(crate) fn swept<S, R>(seen: S, removed: R, next: Option<Cursor>) -> (SweepProgress, Cursor)
where
    usize: TryFrom<S> + TryFrom<R>,
{
    let round = if next.is_some() { SweepRound::Ongoing } else { SweepRound::Finished };
    let seen = usize::try_from(seen).unwrap_or_default();
    let removed = usize::try_from(removed).unwrap_or_default();
    (SweepProgress::new(seen, removed, round), next.unwrap_or_default())
}

/// Names a server: its socket, or its host and port.
pub(crate) fn address(socket: Option<&PathBuf>, host: &str, port: u16) -> String {
    socket.map_or_else(|| format!("{host}:{port}"), |socket| socket.display().to_string())
}

/// Implements [`Run`] for the connections of one database. The module defines `fetch`, which returns the
/// rows of a statement, and `change`, which returns the number of changed rows.
macro_rules! connections {
    ($database:ty) => {
        impl crate::pool::Pool<$database> {
            /// Runs a statement and returns its rows.
            pub(crate) async fn rows<T>(
                &self,
                sql: &crate::sql::Sql,
                values: &[crate::value::Value<'_>],
            ) -> Result<Vec<T>, crate::failure::Failure>
            where
                T: for<'r> sqlx::FromRow<'r, <$database as sqlx::Database>::Row> + Send,
            {
                let mut lease = self.acquire().await?;
                let done = self.within(std::pin::pin!(fetch_as(&mut lease, sql, values))).await;
                lease.finish(&done);
                done
            }
        }

        impl crate::dialect::Run for crate::pool::Pool<$database> {
            async fn change(
                &self,
                sql: &crate::sql::Sql,
                values: &[crate::value::Value<'_>],
            ) -> Result<u64, crate::failure::Failure> {
                let mut lease = self.acquire().await?;
                let done = self.within(std::pin::pin!(change(&mut lease, sql, values))).await;
                lease.finish(&done);
                done
            }

            async fn numbers(
                &self,
                sql: &crate::sql::Sql,
                values: &[crate::value::Value<'_>],
            ) -> Result<Vec<i64>, crate::failure::Failure> {
                let rows = self.rows::<(i64,)>(sql, values).await?;
                Ok(rows.into_iter().map(|(number,)| number).collect())
            }

            async fn pairs(
                &self,
                sql: &crate::sql::Sql,
                values: &[crate::value::Value<'_>],
            ) -> Result<Vec<(Vec<u8>, i64)>, crate::failure::Failure> {
                self.rows(sql, values).await
            }

            async fn row(
                &self,
                select: &crate::sql::Sql,
                key: &cloakroom_store::RecordKey,
            ) -> Result<Option<crate::value::Row>, crate::failure::Failure> {
                let key = [key.into()];
                let mut rows =
                    self.rows::<(i64, i64, Option<Vec<u8>>, Option<Vec<u8>>)>(select, &key).await?;
                Ok(rows.pop().map(|(revision, expires, record, successor)| {
                    let record = record.map(bytes::Bytes::from);
                    crate::value::Row { revision, expires, record, successor }
                }))
            }

            fn size(&self) -> u32 {
                self.max_connections()
            }

            fn patience(&self) -> std::time::Duration {
                self.patience()
            }

            fn limit(&self) -> std::time::Duration {
                self.limit()
            }
        }

        /// Runs a statement and returns its rows as values of a type.
        async fn fetch_as<T>(
            connection: &mut <$database as sqlx::Database>::Connection,
            sql: &crate::sql::Sql,
            values: &[crate::value::Value<'_>],
        ) -> Result<Vec<T>, sqlx::Error>
        where
            T: for<'r> sqlx::FromRow<'r, <$database as sqlx::Database>::Row>,
        {
            let rows = fetch(connection, sql, values).await?;
            rows.iter().map(T::from_row).collect()
        }

        /// Returns a prepared statement with its values.
        fn prepared<'q>(
            sql: &crate::sql::Sql,
            values: &[crate::value::Value<'_>],
        ) -> sqlx::query::Query<'q, $database, <$database as sqlx::Database>::Arguments> {
            let query = sqlx::query(sqlx::AssertSqlSafe(sql.text.clone()));
            sql.bound(values).fold(query, |query, value| match value {
                crate::value::Value::Number(number) => query.bind(number),
                crate::value::Value::Bytes(bytes) => query.bind(bytes),
                crate::value::Value::NoNumber => query.bind(None::<i64>),
                crate::value::Value::NoBytes => query.bind(None::<&[u8]>),
            })
        }
    };
}

pub(crate) use connections;
