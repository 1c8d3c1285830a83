//! The attempts to connect a link over which Redis reports changes.

use std::time::{Duration, Instant};

use redis::RedisError;

use crate::pause::pause_after;

/// How long a connection has to last to end a row of failures.
const STABLE: Duration = Duration::from_secs(5);

/// Counts the attempts to connect, and logs when the link goes off and on.
pub(crate) struct LinkAttempts {
    /// The feature that the link serves, for the log.
    pub(crate) feature: &'static str,
    /// What happens without the link, for the log.
    pub(crate) without: &'static str,
    /// The permissions that the link needs, for the log.
    pub(crate) needs: &'static str,
    pub(crate) made: u64,
    pub(crate) failed_in_a_row: u32,
}

impl LinkAttempts {
    /// Returns the pause before the next attempt. Logs the error of this one: a warning for the first
    /// failure in a row.
    pub(crate) fn failed(&mut self, error: &RedisError) -> Duration {
        let Self { feature, without, needs, failed_in_a_row, .. } = self;
        if *failed_in_a_row > 0 {
            tracing::debug!(%error, "{feature} is still off");
        } else {
            tracing::warn!(
                %error,
                "{feature} is off until Redis reports changes again, and {without}; an access control \
                 list has to allow {needs}"
            );
        }
        let pause = pause_after(*failed_in_a_row);
        *failed_in_a_row += 1;
        pause
    }

    /// Ends a row of failures after a reply on a connection that was made at `connected`. A connection that
    /// breaks soon after it was made is one more failure in the row, even if the server has replied.
    pub(crate) fn replied(&mut self, connected: Instant) {
        if connected.elapsed() < STABLE {
            return;
        }
        if self.failed_in_a_row > 0 {
            tracing::info!("{} is on again", self.feature);
        }
        self.failed_in_a_row = 0;
    }
}
