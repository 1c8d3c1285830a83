//! What is said once about a server that sessions should not live on.

use redis::{RedisResult, Value, cmd, from_redis_value_ref};

use crate::link::Link;

/// `WAIT`, `GETEX`, `ZADD GT` and client tracking in broadcast mode work from here on.
const OLDEST: (u32, u32) = (6, 2);

/// Warns of a server that may evict sessions, or that is too old.
pub(crate) async fn look(link: &Link) -> RedisResult<()> {
    let info = match link.run(cmd("INFO").arg("everything")).await? {
        // A cluster answers for each of its nodes.
        Value::Map(nodes) => nodes.iter().map(|(_, info)| text(info)).collect(),
        info => vec![text(&info)],
    };
    for problem in info.iter().flat_map(|info| problems(info)) {
        tracing::warn!(redis = %link.servers(), "{problem}");
    }
    Ok(())
}

fn text(info: &Value) -> String {
    match info {
        Value::VerbatimString { text, .. } => text.clone(),
        other => from_redis_value_ref(other).unwrap_or_default(),
    }
}

fn problems(info: &str) -> Vec<String> {
    let field = |name: &str| {
        info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    };
    let mut problems = Vec::new();
    if let Some(policy) = field("maxmemory_policy").filter(|policy| *policy != "noeviction") {
        problems.push(format!(
            "maxmemory-policy is `{policy}`: Redis signs visitors out when its memory is full; \
             `noeviction` is better for sessions"
        ));
    }
    let version = field("redis_version").unwrap_or_default();
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
    }
}
