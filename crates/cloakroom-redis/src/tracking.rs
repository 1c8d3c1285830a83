//! The connection over which Redis says what changed, for the near cache.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use redis::{ProtocolVersion, RedisError, RedisResult, cmd};

use crate::{
    connections::{Connection, Connections, pause_after},
    near_cache::{LONGEST, NearCache},
};

/// Keeps that connection up for as long as someone uses the cache.
pub(crate) fn run_tracking(cache: &Arc<NearCache>, connections: Arc<Connections>, prefix: String) {
    let cache = Arc::downgrade(cache);
    connections.clone().spawn(async move {
        let mut attempts = Attempts::default();
        while cache.strong_count() > 0 {
            attempts.made += 1;
            let outcome = track_once(&cache, &connections, &prefix, &mut attempts).await;
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

/// Counts the attempts to follow the changes in Redis.
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
                "the near cache is off until Redis reports changes again; reads go to Redis. With an \
                 access control list it needs +client|tracking and +ping"
            );
        }
        self.failed_in_a_row += 1;
    }

    /// Notes that the server has answered over a connection that was made at `connected`. A
    /// connection that breaks soon after it was made is one more failure in a row, although the
    /// server has answered in between.
    fn answered(&mut self, connected: Instant) {
        if connected.elapsed() < LONGEST {
            return;
        }
        if self.failed_in_a_row > 0 {
            tracing::info!("the near cache is on again");
        }
        self.failed_in_a_row = 0;
    }
}

/// Connects, has changes pushed, and asks at every turn whether the other end is still there.
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
    let connection =
        connections.connect(attempts.made, ProtocolVersion::RESP3, Some(Box::new(pushed)));
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
        tokio::time::sleep(LONGEST / 5).await;
        cmd("PING").exec_async(&mut connection).await?;
        attempts.answered(connected);
    }
    Ok(())
}
