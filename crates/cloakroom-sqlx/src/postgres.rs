//! PostgreSQL.

use std::{pin::pin, time::Duration};

use cloakroom_store::{Commit, Cursor, Revision, SweepProgress, clock::Timestamp};
use sqlx::{
    AssertSqlSafe, Connection, PgConnection, Postgres,
    error::DatabaseError,
    postgres::{PgConnectOptions, PgQueryResult, PgRow},
};

use crate::{
    dialect::{Applied, Dialect, Run, address, connections, swept},
    failure::{Failure, Meaning},
    health::Findings,
    pool::Pool,
    schema::{MIGRATION, schema},
    sql::{Placeholders, Sql, Statements, create, replace_placeholders},
    table::Table,
    value::{Value, hexadecimal, mark, of_step},
};

connections!(Postgres);

/// How many rows a page of the table is taken for: few have less than a kilobyte with their header.
const ROWS_PER_PAGE: usize = 8;
/// The condition that a row is in a range of pages, which is read without an index.
const IN_PAGES: &str =
    "ctid >= ('(' || $1::text || ',0)')::tid AND ctid < ('(' || $2::text || ',0)')::tid";
/// Switches off the wait for the disk in one statement. A touch that a loss of power undoes costs its
/// session a tenth of the idle timeout.
const WITHOUT_WAIT: &str = "WITH fast AS (SELECT set_config('synchronous_commit', 'off', true))";

/// How statements reach the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PgStatements {
    /// Prepared once for each connection. This is the default, and the fastest.
    #[default]
    Prepared,
    /// As text with the values in it, for connection poolers that do not support prepared statements, such
    /// as PgBouncer before 1.21 with transaction pooling. All values are numbers and bytes, so none can be
    /// taken for a part of the statement.
    Simple,
}

/// Statements for PostgreSQL 14 or newer.
#[derive(Debug)]
pub struct PgDialect {
    shared: Statements,
    create: Sql,
    touch: Sql,
    destroy: Sql,
    rotate: Sql,
    sweep: Sql,
}

/// Runs a statement and returns its rows.
async fn fetch(
    connection: &mut PgConnection,
    sql: &Sql,
    values: &[Value<'_>],
) -> Result<Vec<PgRow>, sqlx::Error> {
    if sql.placeholders == Placeholders::Inline {
        return sqlx::raw_sql(AssertSqlSafe(inline(sql, values))).fetch_all(connection).await;
    }
    prepared(sql, values).fetch_all(connection).await
}

/// Runs a statement and returns the number of rows that it changed.
async fn change(
    connection: &mut PgConnection,
    sql: &Sql,
    values: &[Value<'_>],
) -> Result<u64, sqlx::Error> {
    if sql.placeholders == Placeholders::Inline {
        let done = sqlx::raw_sql(AssertSqlSafe(inline(sql, values))).execute(connection).await;
        return done.map(|done: PgQueryResult| done.rows_affected());
    }
    prepared(sql, values).execute(connection).await.map(|done| done.rows_affected())
}

/// Returns the text of a statement with its values in it: numbers and hexadecimal digits alone.
fn inline(sql: &Sql, values: &[Value<'_>]) -> String {
    replace_placeholders(&sql.text, |index| match values[index] {
        Value::Number(number) => format!("({number})::bigint"),
        // Without the E, a backslash depends on a setting of the server.
        Value::Bytes(bytes) => format!("E'\\\\x{}'::bytea", hexadecimal(bytes)),
        Value::NoNumber => "NULL::bigint".to_owned(),
        Value::NoBytes => "NULL::bytea".to_owned(),
    })
}

impl Dialect for PgDialect {
    type Database = Postgres;
    type Connections = Pool<Postgres>;
    type Options = PgStatements;

    const NAME: &'static str = "postgres";
    const QUOTE: char = '"';

    fn new(table: &Table, statements: &PgStatements) -> Self {
        let placeholders = match statements {
            PgStatements::Prepared => Placeholders::Numbered,
            PgStatements::Simple => Placeholders::Inline,
        };
        let sessions = table.sessions();
        let shared = Statements::of(table, placeholders);
        let sql = |text: String| Sql::new(&text, placeholders);
        let bury = &shared.bury.text;
        Self {
            create: sql(create(&sessions)),
            touch: sql(format!(
                "{WITHOUT_WAIT} {}",
                shared.touch.text.replace(" WHERE ", " FROM fast WHERE ")
            )),
            destroy: sql(format!("{bury} RETURNING revision")),
            // The new row is written only if the old one was there. If the new key is taken, the
            // assignment of NULL to it fails, and the whole statement with it.
            rotate: sql(format!(
                "WITH former AS ({bury} RETURNING 1) \
                 INSERT INTO {sessions} AS taken (id, revision, expires, owner, record) \
                 SELECT $6, $7, $8, $9, $10 FROM former \
                 ON CONFLICT (id) DO UPDATE SET revision = excluded.revision, \
                 expires = excluded.expires, owner = excluded.owner, record = excluded.record, \
                 successor = NULL, id = CASE WHEN taken.expires <= $5 THEN taken.id END"
            )),
            // Rows that another transaction holds are left to the next round. A row that was touched in
            // this moment is compared again under its lock.
            sweep: sql(format!(
                "WITH due AS (SELECT ctid AS place FROM {sessions} \
                 WHERE {IN_PAGES} AND expires <= $3 FOR UPDATE SKIP LOCKED), \
                 gone AS (DELETE FROM {sessions} \
                 WHERE ctid = ANY (ARRAY(SELECT place FROM due)) AND expires <= $3 RETURNING 1) \
                 SELECT (SELECT count(*) FROM {sessions} WHERE {IN_PAGES}), \
                 (SELECT count(*) FROM gone), \
                 pg_relation_size('{sessions}') / current_setting('block_size')::bigint"
            )),
            shared,
        }
    }

    fn meaning(error: &dyn DatabaseError) -> Meaning {
        match error.code().as_deref() {
            // A serialization failure, a deadlock, a lock that was not available.
            Some("40001" | "40P01" | "55P03") => Meaning::Collision,
            // A standby after a fail-over; too many connections.
            Some("25006" | "53300") => Meaning::Ended,
            // The connection ended; the server shuts down or starts.
            Some(code) if code.starts_with("08") || code.starts_with("57P") => Meaning::Ended,
            // A time limit of the server; an error of its disk.
            Some("57014" | "58030") => Meaning::Unavailable,
            // Too little room on the disk or in memory.
            Some(code) if code.starts_with("53") => Meaning::Unavailable,
            Some("42P01" | "3F000") => Meaning::NoTable,
            Some("23502" | "23505") => Meaning::Taken,
            _ => Meaning::Refused,
        }
    }

    fn advice(error: &dyn DatabaseError) -> Option<&'static str> {
        let is_of_pooler = match error.code().as_deref() {
            // A prepared statement that is unknown, or there already.
            Some("26000" | "42P05") => true,
            Some("08P01") => {
                let message = error.message();
                message.contains("startup parameter") || message.contains("prepared statement")
            }
            _ => false,
        };
        is_of_pooler.then_some(
            "a connection pooler such as PgBouncer is in between, which does not support prepared \
             statements; set PgStatements::Simple",
        )
    }

    fn connecting(
        connect: PgConnectOptions,
        statements: &PgStatements,
        _: Duration,
    ) -> PgConnectOptions {
        match statements {
            PgStatements::Prepared => connect,
            // Poolers refuse parameters of a connection that they do not know.
            PgStatements::Simple => connect.extra_float_digits(None),
        }
    }

    fn describe(options: &PgConnectOptions) -> String {
        let address = address(options.get_socket(), options.get_host(), options.get_port());
        format!("{address}/{}", options.get_database().unwrap_or(options.get_username()))
    }

    fn shared(&self) -> &Statements {
        &self.shared
    }

    async fn apply(
        &self,
        connections: &Pool<Postgres>,
        commit: &Commit,
        revision: Revision,
        now: Timestamp,
    ) -> Result<Applied, Failure> {
        let mark = mark(revision);
        let values = of_step(commit, revision, &mark, now);
        let sql = match commit {
            Commit::Create { .. } => &self.create,
            Commit::Replace { .. } => &self.shared.replace,
            Commit::Touch { expected, .. } => {
                return Applied::of(connections.change(&self.touch, &values).await, *expected);
            }
            Commit::Destroy { .. } => {
                let last = connections.numbers(&self.destroy, &values).await?;
                return Ok(Applied::with_last(last.first().copied()));
            }
            Commit::Rotate { .. } => &self.rotate,
        };
        Applied::of(connections.change(sql, &values).await, revision)
    }

    async fn sweep(
        &self,
        connections: &Pool<Postgres>,
        from: Cursor,
        limit: usize,
        now: Timestamp,
    ) -> Result<(SweepProgress, Cursor), Failure> {
        let pages = u64::try_from(limit.div_ceil(ROWS_PER_PAGE)).unwrap_or(u64::MAX);
        let (begin, end) = (from.offset(), from.offset().saturating_add(pages));
        let page = |page: u64| Value::Number(i64::try_from(page).unwrap_or(i64::MAX));
        let values = [page(begin), page(end), now.into()];
        let counted = connections.rows::<(i64, i64, i64)>(&self.sweep, &values).await?;
        let (seen, removed, pages) = counted.first().copied().unwrap_or_default();
        let is_last = u64::try_from(pages).unwrap_or_default() <= end;
        Ok(swept(seen, removed, (!is_last).then(|| Cursor::new(0, end))))
    }

    fn schema(table: &Table) -> Vec<String> {
        let (sessions, state, log) = (table.sessions(), table.state(), table.log());
        // An update in place (HOT) needs room in the page and no index on what it changes, so there is
        // none on the deadline.
        let mut statements = vec![
            format!(
                "CREATE TABLE IF NOT EXISTS {sessions} (\n  \
                 id bytea PRIMARY KEY,\n  \
                 revision bigint NOT NULL,\n  \
                 expires bigint NOT NULL,\n  \
                 owner bytea,\n  \
                 record bytea,\n  \
                 successor bytea\n\
                 ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, \
                 autovacuum_vacuum_cost_delay = 0)"
            ),
            format!(
                "CREATE INDEX IF NOT EXISTS {} ON {sessions} (owner, id) WHERE owner IS NOT NULL",
                table.index("_owner")
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {state} (\n  \
                 id smallint PRIMARY KEY CHECK (id = 1),\n  \
                 version bigint NOT NULL,\n  \
                 sweeper bigint NOT NULL,\n  \
                 swept_until bigint NOT NULL\n)"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {log} (\n  \
                 id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,\n  \
                 name bytea NOT NULL,\n  \
                 kept_until bigint NOT NULL,\n  \
                 content bytea NOT NULL\n)"
            ),
            format!("CREATE INDEX IF NOT EXISTS {} ON {log} (name, id)", table.index("_log_name")),
        ];
        if let Some(schema) = table.schema() {
            statements.insert(0, format!("CREATE SCHEMA IF NOT EXISTS \"{schema}\""));
        }
        statements
    }

    async fn migrate(&self, connections: &Pool<Postgres>, table: &Table) -> Result<(), Failure> {
        let mut lease = connections.acquire().await?;
        let work = async {
            // As of the moment of each statement, so that it sees the tables that another process made.
            let begin = "BEGIN ISOLATION LEVEL READ COMMITTED";
            let mut transaction = lease.begin_with(begin).await?;
            // Two transactions that make one table fail by a duplicate key, even with IF NOT EXISTS.
            let lock = format!(
                "SELECT pg_advisory_xact_lock(hashtextextended('cloakroom {}', 0))",
                table.sessions()
            );
            run(&mut transaction, lock).await?;
            for statement in schema::<Self>(table) {
                // A role without the right to create schemas can still use one that exists.
                let is_there = match table.schema() {
                    Some(schema) if statement.starts_with("CREATE SCHEMA") => {
                        exists(&mut transaction, schema).await?
                    }
                    _ => false,
                };
                if !is_there {
                    run(&mut transaction, statement).await?;
                }
            }
            transaction.commit().await
        };
        let done = connections.within_span(MIGRATION, pin!(work)).await;
        lease.finish_transaction(&done);
        done
    }

    async fn examine(
        &self,
        connections: &Pool<Postgres>,
        table: &Table,
    ) -> Result<Findings, Failure> {
        examine(connections, table).await
    }
}

/// The settings of the server: version as text and number, isolation, waits for the disk, whether it is
/// read-only as a standby is, how it writes bytes as text, and its clock.
const SERVER: &str = "SELECT current_setting('server_version'), \
    current_setting('server_version_num')::bigint, current_setting('default_transaction_isolation'), \
    current_setting('fsync') = 'on' AND current_setting('synchronous_commit') <> 'off', \
    current_setting('transaction_read_only') = 'on', current_setting('bytea_output') = 'hex', \
    (extract(epoch FROM clock_timestamp()) * 1000)::bigint";

async fn examine(connections: &Pool<Postgres>, table: &Table) -> Result<Findings, Failure> {
    let server = Sql::new(SERVER, Placeholders::Inline);
    let server =
        connections.rows::<(String, i64, String, bool, bool, bool, i64)>(&server, &[]).await?;
    let mut found = Findings::default();
    let Some((version, number, isolation, is_durable, is_read_only, is_hex, clock)) =
        server.into_iter().next()
    else {
        return Ok(found);
    };
    (found.version, found.clock) = (version, clock);
    found.problem_if(number < 140_000, "PostgreSQL 14 or newer is needed");
    found.problem_if(
        is_read_only,
        "this server accepts no writes: it is a standby, or `default_transaction_read_only` is on",
    );
    found.problem_if(
        !is_durable,
        "`fsync` or `synchronous_commit` is off: a logout that was acknowledged can be lost in a crash",
    );
    found.warning_if(
        isolation != "read committed",
        format!(
            "`default_transaction_isolation` is `{isolation}`: writers of one session collide and try \
             again; ALTER ROLE … SET default_transaction_isolation = 'read committed' avoids it"
        ),
    );
    found.warning_if(
        !is_hex,
        "`bytea_output` is `escape`: with `statements = \"simple\"` no session can be read; ALTER ROLE … SET \
         bytea_output = 'hex' allows it",
    );
    examine_table(connections, table, &mut found).await?;
    Ok(found)
}

async fn examine_table(
    connections: &Pool<Postgres>,
    table: &Table,
    found: &mut Findings,
) -> Result<(), Failure> {
    let sessions = table.sessions();
    for name in [&sessions, &table.state(), &table.log()] {
        let text = format!(
            "SELECT string_agg(missing, ', ') FROM \
             unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS missing \
             WHERE NOT has_table_privilege(to_regclass('{name}'), missing)"
        );
        let sql = Sql::new(&text, Placeholders::Inline);
        let missing = connections.rows::<(Option<String>,)>(&sql, &[]).await?;
        if let Some((Some(missing),)) = missing.into_iter().next() {
            found.problems.push(format!("the role lacks the right to {missing} on {name}"));
        }
    }
    let text = format!(
        "SELECT coalesce(array_to_string(reloptions, ' '), ''), \
         coalesce(pg_stat_get_live_tuples(pg_class.oid), 0), \
         coalesce(pg_stat_get_dead_tuples(pg_class.oid), 0), relpersistence = 'p' \
         FROM pg_class WHERE oid = to_regclass('{sessions}')"
    );
    let sql = Sql::new(&text, Placeholders::Inline);
    let rows = connections.rows::<(String, i64, i64, bool)>(&sql, &[]);
    let Some((options, live, dead, is_logged)) = rows.await?.into_iter().next() else {
        return Ok(());
    };
    found.problem_if(
        !is_logged,
        format!("{sessions} is UNLOGGED: a crash of the server signs everybody out"),
    );
    found.warning_if(
        !options.contains("fillfactor="),
        format!("{sessions} has no fillfactor below 100: ALTER TABLE … SET (fillfactor = 70)"),
    );
    found.warning_if(
        dead > 10_000 && dead > live,
        format!(
            "{sessions} has {dead} dead rows beside {live} live ones: autovacuum does not keep up"
        ),
    );
    Ok(())
}

async fn run(connection: &mut PgConnection, statement: String) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(connection).await.map(drop)
}

async fn exists(connection: &mut PgConnection, schema: &str) -> Result<bool, sqlx::Error> {
    let text = format!("SELECT 1 FROM pg_namespace WHERE nspname = '{schema}'");
    let rows = sqlx::raw_sql(AssertSqlSafe(text)).fetch_all(connection).await?;
    Ok(!rows.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_the_text_are_numbers_and_hexadecimal_digits() {
        let sql = Sql::new("SELECT $1, $2, $3, $4, $2", Placeholders::Inline);
        let values =
            [Value::Number(-5), Value::Bytes(b"'; drop\0"), Value::NoNumber, Value::NoBytes];
        assert_eq!(
            inline(&sql, &values),
            r"SELECT (-5)::bigint, E'\\x273b2064726f7000'::bytea, NULL::bigint, NULL::bytea, E'\\x273b2064726f7000'::bytea"
        );
    }
}
