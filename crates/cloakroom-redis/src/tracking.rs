//! The connection over which Redis says what changed, for the near cache.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use redis::{ProtocolVersion, RedisResult, cmd};

use crate::{
    connections::{Connection, Connections},
    near_cache::{LONGEST, NearCache},
};

/// Keeps that connection up for as long as someone uses the cache.
pub(crate) fn run_tracking(cache: &Arc<NearCache>, connections: Arc<Connections>, prefix: String) {
    let cache = Arc::downgrade(cache);
    connections.clone().spawn(async move {
        let mut attempt = 0;
        while cache.strong_count() > 0 {
            attempt += 1;
            let outcome = track_once(&cache, &connections, &prefix, attempt).await;
            if let Some(cache) = cache.upgrade() {
                cache.set_live(false);
            }
            if let Err(error) = outcome {
                tracing::warn!(%error, "the near cache lost touch with Redis and is empty; trying again");
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
}

/// Connects, has changes pushed, and asks at every turn whether the other end is still there.
async fn track_once(
    cache: &Weak<NearCache>,
    connections: &Connections,
    prefix: &str,
    attempt: u64,
) -> RedisResult<()> {
    let pushed = {
        let cache = cache.clone();
        move |push: redis::PushInfo| {
            if let Some(cache) = cache.upgrade() {
                cache.pushed(&push);
            }
        }
    };
    let connection = connections.connect(attempt, ProtocolVersion::RESP3, Some(Box::new(pushed)));
    let Connection::Single(mut connection) = connection.await? else { return Ok(()) };
    let mut track = cmd("CLIENT");
    track.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(prefix);
    track.exec_async(&mut connection).await?;
    match cache.upgrade() {
        Some(cache) => cache.set_live(true),
        None => return Ok(()),
    }
    while cache.strong_count() > 0 {
        tokio::time::sleep(LONGEST / 5).await;
        cmd("PING").exec_async(&mut connection).await?;
    }
    Ok(())
}
