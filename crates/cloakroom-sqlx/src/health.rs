//! Checks the database, for tools.

use std::time::{Duration, Instant};

use cloakroom_store::{
    StoreError,
    clock::{Clock, SystemClock},
};

use crate::{dialect::Dialect, failure::Failure, inner::Inner, schema::VERSION, store::SqlStore};

/// The number of round trips that are measured.
const PINGS: usize = 15;

/// The result of [`SqlStore::health`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The version of the server.
    pub version: String,
    /// The round-trip time of a query, as a median.
    pub round_trip: Duration,
    /// The milliseconds that the server's clock is ahead of this machine's. Negative if it is behind.
    /// Deadlines follow this machine's clock, so this is for finding other machines that are wrong.
    pub clock_ahead: i64,
    /// The reasons why the store fails, or may lose what it acknowledged, a sentence each.
    pub problems: Vec<String>,
    /// The reasons why the store is slow, a sentence each.
    pub warnings: Vec<String>,
}

/// The result of examining a database.
#[derive(Debug, Default)]
pub struct Findings {
    pub(crate) version: String,
    /// Milliseconds since 1970 by the server's clock.
    pub(crate) clock: i64,
    pub(crate) problems: Vec<String>,
    pub(crate) warnings: Vec<String>,
}

impl Findings {
    pub(crate) fn problem_if(&mut self, is_so: bool, text: impl Into<String>) {
        if is_so {
            self.problems.push(text.into());
        }
    }

    pub(crate) fn warning_if(&mut self, is_so: bool, text: impl Into<String>) {
        if is_so {
            self.warnings.push(text.into());
        }
    }
}

impl<D: Dialect> SqlStore<D> {
    /// Checks the server, the tables and the rights on them, for tools that examine an installation.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses a query.
    pub async fn health(&self) -> Result<Health, StoreError> {
        let health = self.0.health().await;
        health.map_err(|failure| self.0.failed("check", failure))
    }
}

impl<D: Dialect> Inner<D> {
    async fn health(&self) -> Result<Health, Failure> {
        let mut trips = Vec::new();
        for _ in 0..PINGS {
            let sent = Instant::now();
            // A refusal is a reply as well.
            self.version().await.or_else(|failure| failure.unless_refused(None))?;
            trips.push(sent.elapsed());
        }
        trips.sort();
        let mut found = self.dialect.examine(&self.connections, &self.table).await?;
        let table = self.table.sessions();
        match self.version().await {
            Ok(Some(VERSION)) => {}
            Ok(Some(version)) => found.problems.push(format!(
                "the tables beside {table} have version {version}, and this version of the library knows \
                 {VERSION}"
            )),
            Ok(None) => found.problems.push(format!(
                "the table {table} or one beside it does not exist; `cloakroom schema` prints them"
            )),
            Err(Failure::Refused(_, error)) => {
                found.problems.push(format!("the tables beside {table} cannot be read: {error}"));
            }
            Err(failure) => return Err(failure),
        }
        let here = i64::try_from(SystemClock.now().as_millis()).unwrap_or(i64::MAX);
        let Findings { version, clock, problems, warnings } = found;
        let round_trip = trips[PINGS / 2];
        Ok(Health { version, round_trip, clock_ahead: clock - here, problems, warnings })
    }
}
