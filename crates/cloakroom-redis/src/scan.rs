//! Lists all sessions, a few hundred keys at a time.

use cloakroom_store::{Cursor, KeyPage, RecordKey};
use redis::{RedisResult, Value, cmd, from_redis_value};

use crate::{connections::Connections, error::unexpected};

/// The number of keys that Redis reads in one step, which blocks it for well under a millisecond.
const STEP: usize = 500;

/// Returns one page of keys.
pub(crate) async fn page(
    connections: &Connections,
    prefix: &str,
    from: Cursor,
) -> RedisResult<KeyPage> {
    let mut command = cmd("SCAN");
    command.arg(from.offset()).arg("MATCH").arg(pattern(prefix)).arg("COUNT").arg(STEP);
    let (reply, parts) = if connections.servers().is_cluster() {
        let nodes = nodes(connections).await?;
        let at = usize::try_from(from.part()).ok().and_then(|part| nodes.get(part));
        let Some((host, port)) = at else { return Ok(KeyPage::default()) };
        (connections.run_on(&command, host.clone(), *port).await?, nodes.len() as u64)
    } else {
        if from.part() > 0 {
            return Ok(KeyPage::default());
        }
        (connections.run(&command).await?, 1)
    };
    let (offset, names): (String, Vec<String>) = from_redis_value(reply)?;
    let offset: u64 = offset.parse().map_err(|_| unexpected("a cursor"))?;
    let next = match offset {
        0 if from.part() + 1 < parts => Some(Cursor::new(from.part() + 1, 0)),
        0 => None,
        offset => Some(Cursor::new(from.part(), offset)),
    };
    let keys = names.iter().filter_map(|name| key_in(name)).collect();
    Ok(KeyPage::new(keys, next))
}

/// Returns the pattern of records' keys, which have the tag in braces right after the prefix. Keys of the
/// index do not match it.
fn pattern(prefix: &str) -> String {
    let mut pattern = String::new();
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '^' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern + "{*}*"
}

fn key_in(name: &str) -> Option<RecordKey> {
    RecordKey::parse(name.rsplit_once('}')?.1)
}

/// Returns the masters of a cluster in a stable order. Sessions may be skipped while slots move or a
/// master is replaced.
async fn nodes(connections: &Connections) -> RedisResult<Vec<(String, u16)>> {
    let Value::Array(slots) = connections.run(cmd("CLUSTER").arg("SLOTS")).await? else {
        return Err(unexpected("a list of slots"));
    };
    let mut nodes = Vec::new();
    for range in slots {
        let Value::Array(range) = range else { return Err(unexpected("a range of slots")) };
        let master = range.get(2).ok_or_else(|| unexpected("a master"))?.clone();
        let Value::Array(master) = master else { return Err(unexpected("a master")) };
        let [host, port, ..] = master.as_slice() else { return Err(unexpected("host and port")) };
        nodes.push((from_redis_value(host.clone())?, from_redis_value(port.clone())?));
    }
    nodes.sort();
    nodes.dedup();
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_matched_as_it_is() {
        assert_eq!(pattern("session:"), "session:{*}*");
        assert_eq!(pattern("a*[b]?\\"), "a\\*\\[b\\]\\?\\\\{*}*");
    }

    #[test]
    fn a_key_follows_its_tag() {
        let key = RecordKey::from_bytes([7; 32]);
        assert_eq!(key_in(&crate::wire::key("session:", &key)), Some(key));
        assert_eq!(key_in("session:owner:x"), None);
    }
}
