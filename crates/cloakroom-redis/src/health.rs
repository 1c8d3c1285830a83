//! Checks the servers, for tools.

use std::time::{Duration, Instant};

use cloakroom_store::{
    StoreError,
    clock::{Clock, SystemClock},
};
use redis::{RedisResult, cmd, from_redis_value};

use crate::{
    connections::Connections,
    server_info::{self, field, problems},
    store::RedisStore,
};

/// The number of round trips that are measured.
const PINGS: usize = 15;

/// The result of [`RedisStore::health`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// The version of the first server.
    pub version: String,
    /// The round-trip time of a command, as a median.
    pub round_trip: Duration,
    /// The milliseconds that the server's clock is ahead of this machine's. Negative if it is behind.
    pub clock_ahead: i64,
    /// The problems of the servers, a sentence each: they may evict sessions, or are too old.
    pub problems: Vec<String>,
}

impl RedisStore {
    /// Checks the servers, for tools that examine an installation.
    ///
    /// # Errors
    /// When the servers cannot be reached or refuse a command.
    ///
    /// ```no_run
    /// # async fn check(store: &cloakroom_redis::RedisStore) -> Result<(), cloakroom_store::StoreError> {
    /// for problem in store.health().await?.problems {
    ///     eprintln!("{problem}");
    /// }
    /// # Ok(()) }
    /// ```
    pub async fn health(&self) -> Result<Health, StoreError> {
        let health = examine(&self.0.connections).await;
        health.map_err(|error| self.0.failed("check", error))
    }
}

async fn examine(connections: &Connections) -> RedisResult<Health> {
    let info = server_info::read(connections).await?;
    let mut trips = Vec::new();
    for _ in 0..PINGS {
        let sent = Instant::now();
        connections.run(&cmd("PING")).await?;
        trips.push(sent.elapsed());
    }
    trips.sort();
    let round_trip = trips[PINGS / 2];
    let (seconds, micros): (i64, i64) = from_redis_value(connections.run(&cmd("TIME")).await?)?;
    let here = i64::try_from(SystemClock.now().as_millis()).unwrap_or(i64::MAX);
    let half = i64::try_from(round_trip.as_millis() / 2).unwrap_or_default();
    Ok(Health {
        version: info
            .first()
            .and_then(|info| field(info, "redis_version"))
            .unwrap_or("?")
            .to_owned(),
        round_trip,
        clock_ahead: seconds * 1_000 + micros / 1_000 + half - here,
        problems: info.iter().flat_map(|info| problems(info)).collect(),
    })
}
