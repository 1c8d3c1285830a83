//! Logs: lines of text that tools store beside the sessions.

use std::time::Duration;

use cloakroom_store::StoreError;
use redis::{RedisResult, cmd, from_redis_value};

use crate::store::RedisStore;

/// The number of lines that are read in one step.
const STEP: isize = 5_000;

/// Logs are lists under `<prefix>log:<name>`. `cloakroom migrate` stores its journal in one. An access
/// control list needs `+rpush +pexpire +lrange`.
impl RedisStore {
    /// Returns the servers, the database and the prefix, without user and password:
    /// `127.0.0.1:6379/0 session:`. Two stores with the same place have the same sessions.
    ///
    /// ```
    /// use cloakroom_redis::RedisStore;
    ///
    /// let store = RedisStore::open("redis://:secret@10.0.0.7:6379/2")?;
    /// assert_eq!(store.place(), "10.0.0.7:6379/2 session:");
    /// # Ok::<(), cloakroom_redis::ConfigError>(())
    /// ```
    pub fn place(&self) -> String {
        let servers = self.0.connections.servers();
        format!("{servers}/{} {}", servers.login.db, self.0.prefix)
    }

    /// Returns the lines of the log `name` in the order in which they were appended. A log that does not
    /// exist has no lines.
    ///
    /// # Errors
    /// When Redis cannot be reached or refuses the command.
    ///
    /// ```no_run
    /// # async fn read(store: &cloakroom_redis::RedisStore) -> Result<(), cloakroom_store::StoreError> {
    /// for line in store.log("moves").await? {
    ///     println!("{line}");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn log(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let mut lines = Vec::new();
        for from in (0..).step_by(STEP.unsigned_abs()) {
            let mut command = cmd("LRANGE");
            command.arg(self.log_key(name)).arg(from).arg(from + STEP - 1);
            let read = self.0.connections.run(&command).await;
            let read: RedisResult<Vec<String>> = read.and_then(|read| Ok(from_redis_value(read)?));
            let read = read.map_err(|error| self.0.failed("read a log in", error))?;
            if read.is_empty() {
                break;
            }
            lines.extend(read);
        }
        Ok(lines)
    }

    /// Appends lines to the log `name`, which Redis then keeps for `kept_for`, also without lines. If the
    /// connection breaks, a line may be appended twice.
    ///
    /// # Errors
    /// When Redis cannot be reached or refuses the command. The lines may have been appended.
    ///
    /// ```no_run
    /// # async fn append(store: &cloakroom_redis::RedisStore) -> Result<(), cloakroom_store::StoreError> {
    /// use std::time::Duration;
    ///
    /// store.append_to_log("moves", &["began".to_owned()], Duration::from_hours(24)).await?;
    /// # Ok(()) }
    /// ```
    pub async fn append_to_log(
        &self,
        name: &str,
        lines: &[String],
        kept_for: Duration,
    ) -> Result<(), StoreError> {
        let (mut append, mut expire) = (cmd("RPUSH"), cmd("PEXPIRE"));
        append.arg(self.log_key(name)).arg(lines);
        let millis = u64::try_from(kept_for.as_millis()).unwrap_or(u64::MAX);
        expire.arg(self.log_key(name)).arg(millis);
        for command in (!lines.is_empty()).then_some(append).into_iter().chain([expire]) {
            let done = self.0.connections.execute(&command).await.reply;
            done.map_err(|error| self.0.failed("write to a log in", error))?;
        }
        Ok(())
    }

    fn log_key(&self, name: &str) -> String {
        format!("{}log:{name}", self.0.prefix)
    }
}
