//! What is said once about a server that sessions should not live on.

use std::time::{Duration, Instant};

use cloakroom_store::{
    StoreError,
    clock::{Clock, SystemClock},
};
use redis::{RedisResult, Value, cmd, from_redis_value, from_redis_value_ref};

use crate::{RedisStore, connections::Connections};

/// So many round trips are measured.
const PINGS: usize = 15;

/// `ZADD GT` and client tracking in broadcast mode work from here on.
const OLDEST: (u32, u32) = (6, 2);

/// What a look at the servers found. See [`RedisStore::health`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// What the servers call their version.
    pub version: String,
    /// How long a command takes there and back, the median of some.
    pub round_trip: Duration,
    /// How many milliseconds the server's clock is ahead of this machine's; negative when behind.
    pub clock_ahead: i64,
    /// What is wrong with the servers, a sentence each: they may evict sessions, or are too old.
    pub problems: Vec<String>,
}

impl RedisStore {
    /// Looks at the servers, for tools that check an installation.
    ///
    /// # Errors
    /// When they cannot be reached or refuse to answer.
    pub async fn health(&self) -> Result<Health, StoreError> {
        let looked = examine(&self.0.connections).await;
        looked.map_err(|error| self.0.failed("look at", error))
    }
}

async fn examine(connections: &Connections) -> RedisResult<Health> {
    let info = info(connections).await?;
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
        version: info.first().and_then(|it| field(it, "redis_version")).unwrap_or("?").to_owned(),
        round_trip,
        clock_ahead: seconds * 1_000 + micros / 1_000 + half - here,
        problems: info.iter().flat_map(|info| problems(info)).collect(),
    })
}

/// Warns of a server that may evict sessions, or that is too old.
pub(crate) async fn warn_about_server(connections: &Connections) -> RedisResult<()> {
    for problem in info(connections).await?.iter().flat_map(|info| problems(info)) {
        tracing::warn!(redis = %connections.servers(), "{problem}");
    }
    Ok(())
}

/// What each server says of itself.
async fn info(connections: &Connections) -> RedisResult<Vec<String>> {
    Ok(match connections.run(cmd("INFO").arg("everything")).await? {
        // A cluster answers for each of its nodes.
        Value::Map(nodes) => nodes.iter().map(|(_, info)| text(info)).collect(),
        info => vec![text(&info)],
    })
}

fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn text(info: &Value) -> String {
    match info {
        Value::VerbatimString { text, .. } => text.clone(),
        other => from_redis_value_ref(other).unwrap_or_default(),
    }
}

fn problems(info: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let is_limited = field(info, "maxmemory").is_none_or(|limit| limit != "0");
    let policy = field(info, "maxmemory_policy").filter(|policy| *policy != "noeviction");
    if let Some(policy) = policy.filter(|_| is_limited) {
        problems.push(format!(
            "maxmemory-policy is `{policy}`: Redis signs visitors out when its memory is full; \
             `noeviction` is better for sessions"
        ));
    }
    let version = field(info, "redis_version").unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let found = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if found < OLDEST {
        problems.push(format!("Redis is version {version}; 6.2 or newer is needed"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eviction_and_old_versions_are_problems() {
        let info = |version: &str, policy: &str| {
            problems(&format!("redis_version:{version}\r\nmaxmemory_policy:{policy}\r\n")).len()
        };
        assert_eq!(info("7.0.15", "noeviction"), 0);
        assert_eq!(info("6.2.0", "allkeys-lru"), 1);
        assert_eq!(info("6.0.16", "volatile-ttl"), 2);
        assert_eq!(info("10.1", "noeviction"), 0);
        assert_eq!(info("7.0.15", "allkeys-lru\r\nmaxmemory:1000000"), 1);
        assert_eq!(info("7.0.15", "allkeys-lru\r\nmaxmemory:0"), 0, "nothing is ever evicted");
    }
}
