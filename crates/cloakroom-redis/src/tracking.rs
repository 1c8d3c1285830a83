//! The connection over which Redis reports changes to the near cache.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use redis::{ProtocolVersion, RedisError, RedisResult, cmd};

use crate::{
    connection::Connection,
    connections::Connections,
    near_cache::{MAX_AGE, NearCache},
    pause::pause_after,
};

/// Keeps the connection open as long as the cache is in use, in a task. Does nothing if there is a task
/// already.
pub(crate) fn run_tracking(cache: &Arc<NearCache>, connections: &Arc<Connections>, prefix: &str) {
    if !cache.begin_tracking() {
        return;
    }
    let tracked = Tracked(Arc::downgrade(cache));
    let (own_connections, prefix) = (connections.clone(), prefix.to_owned());
    connections.spawn(async move {
        let (cache, connections) = (&tracked.0, own_connections);
        let mut attempts = Attempts::default();
        while cache.strong_count() > 0 {
            attempts.made += 1;
            let outcome = track_once(cache, &connections, &prefix, &mut attempts).await;
            if let Some(cache) = cache.upgrade() {
                cache.set_live(false);
            }
            let pause = pause_after(attempts.failed_in_a_row);
            if let Err(error) = outcome {
                attempts.failed(&error);
            }
            tokio::time::sleep(pause).await;
        }
    });
}

/// A cache that a task tracks. The task may be dropped at any time, because its runtime may end before the
/// store.
struct Tracked(Weak<NearCache>);

impl Drop for Tracked {
    fn drop(&mut self) {
        if let Some(cache) = self.0.upgrade() {
            cache.end_tracking();
        }
    }
}

/// Counts the attempts to connect.
#[derive(Default)]
struct Attempts {
    made: u64,
    failed_in_a_row: u32,
}

impl Attempts {
    /// Warns of the first failure in a row.
    fn failed(&mut self, error: &RedisError) {
        if self.failed_in_a_row > 0 {
            tracing::debug!(%error, "the near cache is still off");
        } else {
            tracing::warn!(
                %error,
                "the near cache is off until Redis reports changes again, and reads go to Redis; an \
                 access control list has to allow +client|tracking and +ping"
            );
        }
        self.failed_in_a_row += 1;
    }

    /// Ends a row of failures after a reply on a connection that was made at `connected`. A connection that
    /// breaks soon after it was made is one more failure in the row, even if the server has replied.
    fn replied(&mut self, connected: Instant) {
        if connected.elapsed() < MAX_AGE {
            return;
        }
        if self.failed_in_a_row > 0 {
            tracing::info!("the near cache is on again");
        }
        self.failed_in_a_row = 0;
    }
}

/// Connects, subscribes to changes, and pings the server until the connection breaks.
async fn track_once(
    cache: &Weak<NearCache>,
    connections: &Connections,
    prefix: &str,
    attempts: &mut Attempts,
) -> RedisResult<()> {
    let pushed = {
        let cache = cache.clone();
        move |push: redis::PushInfo| {
            if let Some(cache) = cache.upgrade() {
                cache.pushed(&push);
            }
        }
    };
    let connection = connections.connector().connect(
        attempts.made,
        ProtocolVersion::RESP3,
        Some(Box::new(pushed)),
    );
    let Connection::Single(mut connection) = connection.await? else { return Ok(()) };
    let mut track = cmd("CLIENT");
    track.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(prefix);
    track.exec_async(&mut connection).await?;
    match cache.upgrade() {
        Some(cache) => cache.set_live(true),
        None => return Ok(()),
    }
    let connected = Instant::now();
    while cache.strong_count() > 0 {
        tokio::time::sleep(MAX_AGE / 5).await;
        cmd("PING").exec_async(&mut connection).await?;
        attempts.replied(connected);
    }
    Ok(())
}
