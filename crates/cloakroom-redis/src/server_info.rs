//! The `INFO` of the servers, and warnings about settings that endanger sessions.

use redis::{RedisResult, Value, cmd, from_redis_value_ref};

use crate::connections::Connections;

/// The first version with `ZADD GT` and client tracking in broadcast mode.
const MIN_VERSION: (u32, u32) = (6, 2);

/// Warns of a server that may evict sessions, or that is too old.
pub(crate) async fn warn_about_server(connections: &Connections) -> RedisResult<()> {
    for problem in read(connections).await?.iter().flat_map(|info| problems(info)) {
        tracing::warn!(redis = %connections.servers(), "{problem}");
    }
    Ok(())
}

/// Returns the `INFO` of each server.
pub(crate) async fn read(connections: &Connections) -> RedisResult<Vec<String>> {
    Ok(match connections.run(cmd("INFO").arg("everything")).await? {
        // A cluster returns the text of each node.
        Value::Map(nodes) => nodes.iter().map(|(_, info)| text(info)).collect(),
        info => vec![text(&info)],
    })
}

/// Returns the value of a line.
pub(crate) fn field<'i>(info: &'i str, name: &str) -> Option<&'i str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn text(info: &Value) -> String {
    match info {
        Value::VerbatimString { text, .. } => text.clone(),
        other => from_redis_value_ref(other).unwrap_or_default(),
    }
}

/// Returns the problems of a server, a sentence each.
pub(crate) fn problems(info: &str) -> Vec<String> {
    let mut problems = Vec::new();
    let is_limited = field(info, "maxmemory").is_none_or(|limit| limit != "0");
    let policy = field(info, "maxmemory_policy").filter(|policy| *policy != "noeviction");
    if let Some(policy) = policy.filter(|_| is_limited) {
        problems.push(format!(
            "maxmemory-policy is `{policy}`: Redis deletes sessions when its memory is full; set it to \
             `noeviction`"
        ));
    }
    let version = field(info, "redis_version").unwrap_or_default();
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or_default());
    let found = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    if found < MIN_VERSION {
        problems.push(format!("Redis is version {version}; 6.2 or newer is required"));
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
