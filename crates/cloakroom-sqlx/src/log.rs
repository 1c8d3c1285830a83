//! Logs: lines of text that tools store beside the sessions.

use std::time::Duration;

use cloakroom_store::StoreError;

use crate::{
    dialect::{Dialect, Run},
    inner::Inner,
    store::SqlStore,
    value::Value,
};

/// The number of rows that are read in one step.
const STEP: i64 = 500;

/// Logs are rows of a table of their own. `cloakroom migrate` stores its journal in one.
impl<D: Dialect> SqlStore<D> {
    /// Returns the database and the table, without user and password. Two stores with the same place have
    /// the same sessions.
    pub fn place(&self) -> &str {
        &self.0.place
    }

    /// Returns the lines of the log `name` in the order in which they were appended. A log that does not
    /// exist has no lines.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses the query.
    pub async fn log(&self, name: &str) -> Result<Vec<String>, StoreError> {
        self.0.log(name).await
    }

    /// Appends lines to the log `name`, which is then kept for `kept_for`. If the connection breaks, a line
    /// may be appended twice.
    ///
    /// # Errors
    /// When the database cannot be reached or refuses. Some lines may have been appended.
    pub async fn append_to_log(
        &self,
        name: &str,
        lines: &[String],
        kept_for: Duration,
    ) -> Result<(), StoreError> {
        self.0.append_to_log(name, lines, kept_for).await
    }
}

impl<D: Dialect> Inner<D> {
    async fn log(&self, name: &str) -> Result<Vec<String>, StoreError> {
        self.ready().await?;
        let (mut lines, mut after) = (Vec::new(), 0);
        loop {
            let values = [name.as_bytes().into(), Value::Number(after), Value::Number(STEP)];
            let read =
                self.repeat(|| self.connections.pairs(&self.dialect.shared().read_log, &values));
            let read = read.await.map_err(|failure| self.failed("read a log in", failure))?;
            let Some((_, last)) = read.last() else { return Ok(lines) };
            after = *last;
            for (text, _) in &read {
                lines.extend(String::from_utf8_lossy(text).lines().map(ToOwned::to_owned));
            }
        }
    }

    async fn append_to_log(
        &self,
        name: &str,
        lines: &[String],
        kept_for: Duration,
    ) -> Result<(), StoreError> {
        self.ready().await?;
        let (name, until) = (Value::Bytes(name.as_bytes()), Value::from(self.now() + kept_for));
        let shared = self.dialect.shared();
        let failed = |failure| self.failed("write a log in", failure);
        if lines.is_empty() {
            return Ok(());
        }
        // In one row, because each row is a transaction.
        let lines = lines.join("\n");
        let values = [name, until, lines.as_bytes().into()];
        let appended =
            self.repeat(|| self.connections.change(&shared.append_to_log, &values)).await;
        appended.map_err(failed)?;
        let values = [name, until];
        let kept = self.repeat(|| self.connections.change(&shared.keep_log, &values)).await;
        kept.map(drop).map_err(failed)
    }
}
