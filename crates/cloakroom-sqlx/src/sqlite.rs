//! SQLite.

use std::{
    fs::{self, OpenOptions},
    pin::pin,
    time::Duration,
};

use cloakroom_store::{Commit, Cursor, Revision, SweepProgress, clock::Timestamp};
use sqlx::{
    AssertSqlSafe, Connection, Sqlite, SqliteConnection,
    error::DatabaseError,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous},
};
use tokio::sync::Mutex;

use crate::{
    dialect::{Applied, Dialect, Run, connections, end, swept},
    failure::{Failure, Meaning},
    health::Findings,
    pool::Pool,
    schema::{MIGRATION, schema},
    sql::{Placeholders, Sql, Statements, create},
    table::Table,
    value::{Value, halves_of_rotation, mark, of_step},
};

connections!(Sqlite);

/// Which commits survive a loss of power.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SqliteDurability {
    /// All commits that were acknowledged. This is the default.
    #[default]
    Full,
    /// The commits that the operating system had written. It saves a wait for the disk per commit.
    Fast,
}

/// Statements for SQLite 3.37 or newer.
#[derive(Debug)]
pub struct SqliteDialect {
    shared: Statements,
    create: Sql,
    destroy: Sql,
    /// Finds the end of a piece of the table, and counts its rows and the expired ones among them.
    piece: Sql,
    delete: Sql,
    /// A database has one writer at a time. Those of one process wait here in their order, because SQLite
    /// itself lets them try again and again.
    writer: Mutex<()>,
}

async fn fetch(
    connection: &mut SqliteConnection,
    sql: &Sql,
    values: &[Value<'_>],
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    prepared(sql, values).fetch_all(connection).await
}

async fn change(
    connection: &mut SqliteConnection,
    sql: &Sql,
    values: &[Value<'_>],
) -> Result<u64, sqlx::Error> {
    prepared(sql, values).execute(connection).await.map(|done| done.rows_affected())
}

impl Dialect for SqliteDialect {
    type Database = Sqlite;
    type Connections = Pool<Sqlite>;
    type Options = Option<SqliteDurability>;

    const NAME: &'static str = "sqlite";
    const QUOTE: char = '"';

    fn new(table: &Table, _: &Option<SqliteDurability>) -> Self {
        let sessions = table.sessions();
        let shared = Statements::of(table, Placeholders::Numbered);
        let sql = |text: String| Sql::new(&text, Placeholders::Numbered);
        Self {
            create: sql(create(&sessions)),
            destroy: sql(format!("{} RETURNING revision", shared.bury.text)),
            piece: sql(format!(
                "SELECT coalesce(max(place), 0), count(*), coalesce(sum(expires <= $3), 0) FROM \
                 (SELECT rowid AS place, expires FROM {sessions} WHERE rowid > $1 \
                 ORDER BY rowid LIMIT $2)"
            )),
            delete: sql(format!(
                "DELETE FROM {sessions} WHERE rowid > $1 AND rowid <= $2 AND expires <= $3"
            )),
            shared,
            writer: Mutex::new(()),
        }
    }

    fn meaning(error: &dyn DatabaseError) -> Meaning {
        let code = error.code().and_then(|code| code.parse::<u32>().ok()).unwrap_or_default();
        // The low byte is the kind; the rest says more.
        match code & 0xff {
            // SQLITE_BUSY, SQLITE_LOCKED
            5 | 6 => Meaning::Collision,
            // SQLITE_IOERR, SQLITE_FULL
            10 | 13 => Meaning::Unavailable,
            // SQLITE_CONSTRAINT
            19 => Meaning::Taken,
            // SQLITE_ERROR
            1 if error.message().starts_with("no such table") => Meaning::NoTable,
            _ => Meaning::Refused,
        }
    }

    fn connecting(
        connect: SqliteConnectOptions,
        durability: &Option<SqliteDurability>,
        limit: Duration,
    ) -> SqliteConnectOptions {
        let synchronous = match durability.unwrap_or_default() {
            SqliteDurability::Full => SqliteSynchronous::Full,
            SqliteDurability::Fast => SqliteSynchronous::Normal,
        };
        connect
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(synchronous)
            // Shorter than the limit of a statement, so that the error says what was waited for.
            .busy_timeout(limit / 5 * 4)
    }

    /// Creates the file, readable for this process's user only, and its folder. If that fails, so does the
    /// connection, which says why.
    fn connect_begins(connect: &SqliteConnectOptions) {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        if let Some(folder) = connect.get_filename().parent() {
            drop(fs::create_dir_all(folder));
        }
        drop(options.open(connect.get_filename()));
    }

    fn own_setting(durability: &Option<SqliteDurability>) -> Option<&'static str> {
        durability.map(|_| "durability")
    }

    fn describe(options: &SqliteConnectOptions) -> String {
        options.get_filename().display().to_string()
    }

    fn shared(&self) -> &Statements {
        &self.shared
    }

    async fn apply(
        &self,
        connections: &Pool<Sqlite>,
        commit: &Commit,
        revision: Revision,
        now: Timestamp,
    ) -> Result<Applied, Failure> {
        let mark = mark(revision);
        let values = of_step(commit, revision, &mark, now);
        let _writing = self.writer.lock().await;
        let (sql, revision) = match commit {
            Commit::Create { .. } => (&self.create, revision),
            Commit::Replace { .. } => (&self.shared.replace, revision),
            Commit::Touch { expected, .. } => (&self.shared.touch, *expected),
            Commit::Destroy { .. } => {
                let last = connections.numbers(&self.destroy, &values).await?;
                return Ok(Applied::with_last(last.first().copied()));
            }
            Commit::Rotate { .. } => {
                return Applied::of(self.rotate(connections, &values).await, revision);
            }
        };
        Applied::of(connections.change(sql, &values).await, revision)
    }

    async fn sweep(
        &self,
        connections: &Pool<Sqlite>,
        from: Cursor,
        limit: usize,
        now: Timestamp,
    ) -> Result<(SweepProgress, Cursor), Failure> {
        let begin = i64::try_from(from.offset()).unwrap_or(i64::MAX);
        let rows = i64::try_from(limit).unwrap_or(i64::MAX);
        let values = [Value::Number(begin), Value::Number(rows), now.into()];
        let found = connections.rows::<(i64, i64, i64)>(&self.piece, &values).await?;
        let (end, seen, expired) = found.first().copied().unwrap_or_default();
        let removed = if expired > 0 {
            // A statement that deletes nothing would still wait for the other writers.
            let _writing = self.writer.lock().await;
            let values = [Value::Number(begin), Value::Number(end), now.into()];
            connections.change(&self.delete, &values).await?
        } else {
            0
        };
        let end = u64::try_from(end).unwrap_or_default();
        Ok(swept(seen, removed, (seen == rows).then(|| Cursor::new(0, end))))
    }

    fn schema(table: &Table) -> Vec<String> {
        let (sessions, state, log) = (table.sessions(), table.state(), table.log());
        vec![
            format!(
                "CREATE TABLE IF NOT EXISTS {sessions} (\n  \
                 id BLOB NOT NULL PRIMARY KEY,\n  \
                 revision INTEGER NOT NULL,\n  \
                 expires INTEGER NOT NULL,\n  \
                 owner BLOB,\n  \
                 record BLOB,\n  \
                 successor BLOB\n) STRICT"
            ),
            format!(
                "CREATE INDEX IF NOT EXISTS {} ON {sessions} (owner, id) WHERE owner IS NOT NULL",
                table.index("_owner")
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {state} (\n  \
                 id INTEGER PRIMARY KEY CHECK (id = 1),\n  \
                 version INTEGER NOT NULL,\n  \
                 sweeper INTEGER NOT NULL,\n  \
                 swept_until INTEGER NOT NULL\n) STRICT"
            ),
            format!(
                "CREATE TABLE IF NOT EXISTS {log} (\n  \
                 id INTEGER PRIMARY KEY,\n  \
                 name BLOB NOT NULL,\n  \
                 kept_until INTEGER NOT NULL,\n  \
                 content BLOB NOT NULL\n) STRICT"
            ),
            format!("CREATE INDEX IF NOT EXISTS {} ON {log} (name, id)", table.index("_log_name")),
        ]
    }

    async fn migrate(&self, connections: &Pool<Sqlite>, table: &Table) -> Result<(), Failure> {
        let _writing = self.writer.lock().await;
        let mut lease = connections.acquire().await?;
        let work = async {
            let mut transaction = lease.begin_with("BEGIN IMMEDIATE").await?;
            for statement in schema::<Self>(table) {
                let statement = sqlx::raw_sql(AssertSqlSafe(statement));
                statement.execute(&mut *transaction).await?;
            }
            transaction.commit().await
        };
        let done = connections.within_span(MIGRATION, pin!(work)).await;
        lease.finish_transaction(&done);
        done
    }

    async fn examine(&self, connections: &Pool<Sqlite>, _: &Table) -> Result<Findings, Failure> {
        let text = "SELECT sqlite_version(), (SELECT journal_mode FROM pragma_journal_mode), \
            (SELECT synchronous FROM pragma_synchronous), \
            CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";
        let sql = Sql::new(text, Placeholders::Numbered);
        let rows = connections.rows::<(String, String, i64, i64)>(&sql, &[]).await?;
        let mut found = Findings::default();
        if let Some((version, journal, synchronous, clock)) = rows.into_iter().next() {
            (found.version, found.clock) = (version, clock);
            found.warning_if(
                journal != "wal",
                format!(
                    "`journal_mode` is `{journal}`: with `wal`, readers do not wait for writers"
                ),
            );
            found.problem_if(
                synchronous == 0,
                "`synchronous` is off: a loss of power can destroy the database",
            );
        }
        Ok(found)
    }
}

impl SqliteDialect {
    /// Writes a tombstone and the new row, or neither. Returns the number of new rows.
    async fn rotate(
        &self,
        connections: &Pool<Sqlite>,
        values: &[Value<'_>],
    ) -> Result<u64, Failure> {
        let (bury, create) = halves_of_rotation(values);
        let mut lease = connections.acquire().await?;
        let work = async {
            // A transaction that begins as a reader fails if another writer comes before its first change.
            let mut transaction = lease.begin_with("BEGIN IMMEDIATE").await?;
            let mut changed = change(&mut transaction, &self.shared.bury, bury).await?;
            if changed > 0 {
                changed = change(&mut transaction, &self.create, &create).await?;
            }
            end(transaction, changed).await
        };
        let done = connections.within(pin!(work)).await;
        lease.finish_transaction(&done);
        done
    }
}
