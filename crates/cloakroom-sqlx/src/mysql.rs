//! MariaDB and MySQL.

use std::{pin::pin, time::Duration};

use cloakroom_store::{Commit, Cursor, Revision, SweepProgress, clock::Timestamp};
use sqlx::{
    AssertSqlSafe, Connection, MySql, MySqlConnection,
    error::DatabaseError,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlRow},
};

use crate::{
    dialect::{Applied, BoxFuture, Dialect, Run, address, connections, end, swept},
    failure::{Failure, Meaning},
    health::Findings,
    pool::Pool,
    schema::{MIGRATION, schema},
    sql::{Placeholders, Sql, Statements},
    table::Table,
    value::{Value, after, count, halves_of_rotation, hexadecimal, key, mark, millis, of_step},
};

connections!(MySql);

/// How long a migration waits for another one, in seconds.
const LOCK_WAIT: u32 = 30;

/// Statements for MariaDB 10.6 or MySQL 8, or newer.
#[derive(Debug)]
pub struct MySqlDialect {
    shared: Statements,
    insert: Sql,
    /// Takes the place of a row that has expired.
    replace_expired: Sql,
    last_revision: Sql,
    table: Table,
}

async fn fetch(
    connection: &mut MySqlConnection,
    sql: &Sql,
    values: &[Value<'_>],
) -> Result<Vec<MySqlRow>, sqlx::Error> {
    prepared(sql, values).fetch_all(connection).await
}

/// Runs a statement and returns the number of rows that it found. sqlx asks servers for this number and not
/// for that of the rows whose contents changed.
async fn change(
    connection: &mut MySqlConnection,
    sql: &Sql,
    values: &[Value<'_>],
) -> Result<u64, sqlx::Error> {
    let done = match sql.placeholders {
        Placeholders::Inline => {
            sqlx::raw_sql(AssertSqlSafe(sql.text.clone())).execute(connection).await
        }
        Placeholders::Numbered | Placeholders::InOrder => {
            prepared(sql, values).execute(connection).await
        }
    };
    done.map(|done| done.rows_affected())
}

fn is_taken(error: &sqlx::Error) -> bool {
    error.as_database_error().is_some_and(|error| MySqlDialect::meaning(error) == Meaning::Taken)
}

impl Dialect for MySqlDialect {
    type Database = MySql;
    type Connections = Pool<MySql>;
    type Options = ();

    const NAME: &'static str = "mysql";
    const QUOTE: char = '`';

    fn new(table: &Table, (): &()) -> Self {
        let sessions = table.sessions();
        let sql = |text: String| Sql::new(&text, Placeholders::InOrder);
        Self {
            shared: Statements::of(table, Placeholders::InOrder),
            insert: sql(format!(
                "INSERT INTO {sessions} (id, revision, expires, owner, record) \
                 VALUES ($1, $2, $3, $4, $5)"
            )),
            replace_expired: sql(format!(
                "UPDATE {sessions} SET revision = $2, expires = $3, owner = $4, record = $5, \
                 successor = NULL WHERE id = $1 AND (expires <= $6 \
                 OR revision = $2 AND record IS NOT NULL)"
            )),
            last_revision: sql(format!("SELECT revision FROM {sessions} WHERE id = $1")),
            table: table.clone(),
        }
    }

    fn meaning(error: &dyn DatabaseError) -> Meaning {
        let number = error.try_downcast_ref::<MySqlDatabaseError>().map(MySqlDatabaseError::number);
        match number {
            // A deadlock, a lock that was not available in time.
            Some(1213 | 1205) => Meaning::Collision,
            // Shutting down; too many connections; a read-only server after a fail-over; idle for too long.
            Some(1053 | 1040 | 1203 | 1290 | 1792 | 1836 | 1927 | 3032 | 4031) => Meaning::Ended,
            // A full disk or table; a time limit of the server.
            Some(1021 | 1114 | 1317 | 1969 | 3024) => Meaning::Unavailable,
            Some(1146 | 1049) => Meaning::NoTable,
            Some(1062) => Meaning::Taken,
            _ => Meaning::Refused,
        }
    }

    fn connecting(connect: MySqlConnectOptions, (): &(), _: Duration) -> MySqlConnectOptions {
        connect
    }

    /// Lets statements lock rows and not the gaps between them, and wait for locks for a shorter time than
    /// the store waits for them: the server does not notice that a client has left.
    fn connected(connection: &mut MySqlConnection) -> BoxFuture<'_, Result<(), sqlx::Error>> {
        let settings = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
            SET SESSION innodb_lock_wait_timeout = 4";
        Box::pin(async move { sqlx::raw_sql(settings).execute(connection).await.map(drop) })
    }

    fn describe(options: &MySqlConnectOptions) -> String {
        let address = address(options.get_socket(), options.get_host(), options.get_port());
        format!("{address}/{}", options.get_database().unwrap_or_default())
    }

    fn shared(&self) -> &Statements {
        &self.shared
    }

    async fn apply(
        &self,
        connections: &Pool<MySql>,
        commit: &Commit,
        revision: Revision,
        now: Timestamp,
    ) -> Result<Applied, Failure> {
        let mark = mark(revision);
        let values = of_step(commit, revision, &mark, now);
        let (changed, revision) = match commit {
            Commit::Create { .. } => {
                let created = match connections.change(&self.insert, &values).await {
                    Err(Failure::Refused(Meaning::Taken, _)) => {
                        connections.change(&self.replace_expired, &values).await
                    }
                    created => created,
                };
                (created, revision)
            }
            Commit::Replace { .. } => {
                (connections.change(&self.shared.replace, &values).await, revision)
            }
            Commit::Touch { expected, .. } => {
                (connections.change(&self.shared.touch, &values).await, *expected)
            }
            Commit::Destroy { .. } => {
                if connections.change(&self.shared.bury, &values).await? == 0 {
                    return Ok(Applied::Nothing);
                }
                // The tombstone keeps the revision. It is there for as long as anyone asks.
                let last = connections.numbers(&self.last_revision, &values[..1]).await?;
                return Ok(Applied::with_last(Some(last.first().copied().unwrap_or_default())));
            }
            Commit::Rotate { .. } => (self.rotate(connections, &values).await, revision),
        };
        Applied::of(changed, revision)
    }

    async fn sweep(
        &self,
        connections: &Pool<MySql>,
        from: Cursor,
        limit: usize,
        now: Timestamp,
    ) -> Result<(SweepProgress, Cursor), Failure> {
        let after = after(from);
        let values = [after[..].into(), count(limit)];
        let found = connections.pairs(&self.shared.scan, &values).await?;
        let now = millis(now);
        let expired: Vec<_> =
            found.iter().filter(|(_, expires)| *expires <= now).map(|(id, _)| id.clone()).collect();
        let removed =
            if expired.is_empty() { 0 } else { self.delete(connections, &expired, now).await? };
        let last = found.last().and_then(|(id, _)| key(id)).filter(|_| found.len() >= limit);
        let next = last.map(|key| Cursor::default().with_last_key(key));
        Ok(swept(found.len(), removed, next))
    }

    fn schema(table: &Table) -> Vec<String> {
        let (sessions, state, log) = (table.sessions(), table.state(), table.log());
        let mut statements = vec![
            format!(
                "CREATE TABLE IF NOT EXISTS {sessions} (\n  \
                 id BINARY(32) NOT NULL PRIMARY KEY,\n  \
                 revision BIGINT NOT NULL,\n  \
                 expires BIGINT NOT NULL,\n  \
                 owner BINARY(32),\n  \
                 record MEDIUMBLOB,\n  \
                 successor VARBINARY(32),\n  \
                 INDEX {} (owner, id)\n\
                 ) ENGINE = InnoDB, ROW_FORMAT = DYNAMIC",
                table.index("_owner")
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {state} (\n  \
                 id SMALLINT NOT NULL PRIMARY KEY,\n  \
                 version BIGINT NOT NULL,\n  \
                 sweeper BIGINT NOT NULL,\n  \
                 swept_until BIGINT NOT NULL\n) ENGINE = InnoDB"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {log} (\n  \
                 id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,\n  \
                 name VARBINARY(255) NOT NULL,\n  \
                 kept_until BIGINT NOT NULL,\n  \
                 content MEDIUMBLOB NOT NULL,\n  \
                 INDEX {} (name, id)\n) ENGINE = InnoDB",
                table.index("_log_name")
            ),
        ];
        if let Some(schema) = table.schema() {
            statements.insert(0, format!("CREATE DATABASE IF NOT EXISTS `{schema}`"));
        }
        statements
    }

    async fn migrate(&self, connections: &Pool<MySql>, table: &Table) -> Result<(), Failure> {
        let mut lease = connections.acquire().await?;
        let lock = format!("cloakroom {}", table.name());
        let work = async {
            // Statements that change tables commit by themselves, so the lock is one of the connection.
            let taken = format!("SELECT GET_LOCK('{lock}', {LOCK_WAIT})");
            let row = sqlx::raw_sql(AssertSqlSafe(taken)).fetch_one(&mut *lease).await?;
            if sqlx::Row::try_get::<Option<i64>, _>(&row, 0)? != Some(1) {
                let problem = "another process has been making the tables for too long";
                return Err(sqlx::Error::Protocol(problem.to_owned()));
            }
            for statement in schema::<Self>(table) {
                sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *lease).await?;
            }
            let released = format!("SELECT RELEASE_LOCK('{lock}')");
            sqlx::raw_sql(AssertSqlSafe(released)).execute(&mut *lease).await.map(drop)
        };
        let done = connections.within_span(MIGRATION, pin!(work)).await;
        // After a failure the lock ends with the connection.
        lease.finish_transaction(&done);
        done
    }

    async fn examine(&self, connections: &Pool<MySql>, table: &Table) -> Result<Findings, Failure> {
        examine(connections, table).await
    }
}

async fn examine(connections: &Pool<MySql>, table: &Table) -> Result<Findings, Failure> {
    let text = "SELECT VERSION(), CAST(@@innodb_flush_log_at_trx_commit AS SIGNED), \
        CAST(@@read_only AS SIGNED), CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";
    let sql = Sql::new(text, Placeholders::InOrder);
    let rows = connections.rows::<(String, i64, i64, i64)>(&sql, &[]).await?;
    let mut found = Findings::default();
    let Some((version, flush, read_only, clock)) = rows.into_iter().next() else {
        return Ok(found);
    };
    // MySQL has removed the old name, and MariaDB has the new one since version 11.1 only.
    let isolation =
        if version.contains("MariaDB") { "tx_isolation" } else { "transaction_isolation" };
    let sql = Sql::new(&format!("SELECT @@{isolation}"), Placeholders::InOrder);
    let isolation = connections.rows::<(String,)>(&sql, &[]).await?;
    (found.version, found.clock) = (version, clock);
    found.problem_if(read_only != 0, "this server is read-only");
    found.problem_if(
        flush != 1,
        format!(
            "`innodb_flush_log_at_trx_commit` is {flush}: a logout that was acknowledged can be lost in \
             a crash"
        ),
    );
    let isolation = isolation.into_iter().next().map(|(isolation,)| isolation).unwrap_or_default();
    found.warning_if(
        isolation != "READ-COMMITTED",
        format!(
            "the isolation level is {isolation}: statements lock the gaps between rows; READ COMMITTED \
             locks rows only"
        ),
    );
    let engine = format!(
        "SELECT coalesce(ENGINE, '') FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA = {} AND TABLE_NAME = '{}'",
        table.schema().map_or("DATABASE()".to_owned(), |schema| format!("'{schema}'")),
        table.name()
    );
    let engine =
        connections.rows::<(String,)>(&Sql::new(&engine, Placeholders::InOrder), &[]).await?;
    if let Some((engine,)) = engine.into_iter().next() {
        found.problem_if(
            engine != "InnoDB",
            format!("the table's engine is {engine}, which has no transactions; InnoDB is needed"),
        );
        examine_rights(connections, table, &mut found).await?;
    }
    Ok(found)
}

/// Runs statements that change nothing, because the rights of a user can come from many places.
async fn examine_rights(
    connections: &Pool<MySql>,
    table: &Table,
    found: &mut Findings,
) -> Result<(), Failure> {
    let sessions = table.sessions();
    for text in [
        format!(
            "INSERT INTO {sessions} (id, revision, expires) \
             SELECT id, revision, expires FROM {sessions} WHERE 1 = 0"
        ),
        format!("UPDATE {sessions} SET expires = 0 WHERE 1 = 0"),
        format!("DELETE FROM {sessions} WHERE 1 = 0"),
    ] {
        match connections.change(&Sql::new(&text, Placeholders::InOrder), &[]).await {
            Ok(_) => {}
            Err(Failure::Refused(_, error)) => found.problems.push(error.to_string()),
            Err(failure) => return Err(failure),
        }
    }
    Ok(())
}

impl MySqlDialect {
    /// Writes a tombstone and the new row, or neither. Returns the number of new rows.
    async fn rotate(
        &self,
        connections: &Pool<MySql>,
        values: &[Value<'_>],
    ) -> Result<u64, Failure> {
        let (bury, create) = halves_of_rotation(values);
        let mut lease = connections.acquire().await?;
        let work = async {
            let mut transaction = lease.begin().await?;
            let mut changed = change(&mut transaction, &self.shared.bury, bury).await?;
            if changed > 0 {
                changed = match change(&mut transaction, &self.insert, &create).await {
                    Err(error) if is_taken(&error) => {
                        change(&mut transaction, &self.replace_expired, &create).await?
                    }
                    inserted => inserted?,
                };
            }
            end(transaction, changed).await
        };
        let done = connections.within(pin!(work)).await;
        lease.finish_transaction(&done);
        done
    }

    /// Deletes those of the rows that have still expired, in the order of their keys: the locks of rows are
    /// taken in one order, and no lock covers the gaps between them.
    async fn delete(
        &self,
        connections: &Pool<MySql>,
        ids: &[Vec<u8>],
        now: i64,
    ) -> Result<u64, Failure> {
        let ids: Vec<_> = ids.iter().map(|id| format!("x'{}'", hexadecimal(id))).collect();
        let text = format!(
            "DELETE FROM {} WHERE id IN ({}) AND expires <= {now}",
            self.table.sessions(),
            ids.join(", "),
        );
        // Its text differs each time, so it is not worth preparing.
        connections.change(&Sql::new(&text, Placeholders::Inline), &[]).await
    }
}
