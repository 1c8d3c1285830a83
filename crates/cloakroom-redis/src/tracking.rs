//! The connection over which Redis reports changes to the near cache.

use std::{
    sync::{Arc, Weak},
    time::Instant,
};

use redis::{ProtocolVersion, RedisResult, cmd};

use crate::{
    connection::Connection,
    connections::Connections,
    link_attempts::LinkAttempts,
    near_cache::{MAX_AGE, NearCache},
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
        let mut attempts = LinkAttempts {
            feature: "the near cache",
            without: "reads go to Redis",
            needs: "+client|tracking and +ping",
            made: 0,
            failed_in_a_row: 0,
        };
        while cache.strong_count() > 0 {
            attempts.made += 1;
            let outcome = track_once(cache, &connections, &prefix, &mut attempts).await;
            if let Some(cache) = cache.upgrade() {
                cache.set_live(false);
            }
            if let Err(error) = outcome {
                tokio::time::sleep(attempts.failed(&error)).await;
            }
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

/// Connects, subscribes to changes, and pings the server until the connection breaks.
async fn track_once(
    cache: &Weak<NearCache>,
    connections: &Connections,
    prefix: &str,
    attempts: &mut LinkAttempts,
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
