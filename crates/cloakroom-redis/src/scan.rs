//! Lists all sessions, a few hundred keys at a time.

use cloakroom_store::{Cursor, KeyPage};
use redis::{RedisResult, Value, cmd, from_redis_value};

use crate::{connections::Connections, error::unexpected, wire};

/// The number of keys that Redis reads in one step, which blocks it for well under a millisecond.
const STEP: usize = 500;

/// The low bits of a cursor's part, which have the number of the server. The others are from its id.
const NUMBER_BITS: u32 = 16;
/// The number of hexadecimal digits of a node's id that fit beside the number.
const ID_DIGITS: usize = 12;

/// One of the servers whose keys are listed one after the other.
#[derive(Debug, Default, PartialEq, Eq)]
struct Master {
    /// The address of a node of a cluster.
    node: Option<(String, u16)>,
    /// The beginning of the node's id.
    id: u64,
}

/// Returns one page of keys.
pub(crate) async fn page(
    connections: &Connections,
    prefix: &str,
    from: Cursor,
) -> RedisResult<KeyPage> {
    let masters = if connections.servers().is_cluster() {
        masters(connections.run(cmd("CLUSTER").arg("SLOTS")).await?)?
    } else {
        vec![Master::default()]
    };
    let Some((number, offset)) = resume(&masters, from) else { return Ok(KeyPage::default()) };
    let master = &masters[number];
    let mut command = cmd("SCAN");
    command.arg(offset).arg("MATCH").arg(pattern(prefix)).arg("COUNT").arg(STEP);
    let reply = match &master.node {
        Some((host, port)) => connections.run_on(&command, host.clone(), *port).await?,
        None => connections.run(&command).await?,
    };
    let (offset, names): (String, Vec<String>) = from_redis_value(reply)?;
    let next = match offset.parse().map_err(|_| unexpected("a cursor"))? {
        0 if number + 1 < masters.len() => Some(Cursor::new(number as u64 + 1, 0)),
        0 => None,
        offset => Some(Cursor::new(master.id << NUMBER_BITS | number as u64, offset)),
    };
    let keys = names.iter().filter_map(|name| wire::parse_key(name)).collect();
    Ok(KeyPage::new(keys, next))
}

/// Returns the number of the master that a cursor leads to, and the offset in its keys. A replica that has
/// become the master is listed from its beginning, because an offset holds for one server only.
fn resume(masters: &[Master], from: Cursor) -> Option<(usize, u64)> {
    let number = usize::try_from(from.part() & ((1 << NUMBER_BITS) - 1)).ok()?;
    let is_same = masters.get(number)?.id == from.part() >> NUMBER_BITS;
    Some((number, if is_same { from.offset() } else { 0 }))
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

/// Returns the masters of a cluster in the order of their lowest slots, which a fail-over does not change.
/// Sessions may be skipped while slots move.
fn masters(slots: Value) -> RedisResult<Vec<Master>> {
    let Value::Array(slots) = slots else { return Err(unexpected("a list of slots")) };
    let mut ranges = Vec::new();
    for range in slots {
        let Value::Array(range) = range else { return Err(unexpected("a range of slots")) };
        let [first, _, Value::Array(master), ..] = range.as_slice() else {
            return Err(unexpected("a range of slots and its master"));
        };
        let [host, port, id, ..] = master.as_slice() else {
            return Err(unexpected("host, port and id"));
        };
        let id: String = from_redis_value(id.clone())?;
        let id = id.get(..ID_DIGITS).and_then(|id| u64::from_str_radix(id, 16).ok());
        let node = (from_redis_value(host.clone())?, from_redis_value(port.clone())?);
        let id = id.ok_or_else(|| unexpected("the id of a node"))?;
        ranges.push((from_redis_value::<u16>(first.clone())?, Master { node: Some(node), id }));
    }
    ranges.sort_by_key(|(first, _)| *first);
    let mut masters: Vec<Master> = Vec::new();
    for (_, master) in ranges {
        if !masters.contains(&master) {
            masters.push(master);
        }
    }
    Ok(masters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_matched_as_it_is() {
        assert_eq!(pattern("session:"), "session:{*}*");
        assert_eq!(pattern("a*[b]?\\"), "a\\*\\[b\\]\\?\\\\{*}*");
    }

    /// Returns a reply to `CLUSTER SLOTS`: ranges by their first slot, with the port and the digit of the
    /// id of their master.
    fn slots(ranges: &[(i64, i64, &str)]) -> Value {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let range = |&(first, port, digit): &(i64, i64, &str)| {
            let master = vec![text("h"), Value::Int(port), text(&digit.repeat(40))];
            Value::Array(vec![Value::Int(first), Value::Int(first + 9), Value::Array(master)])
        };
        Value::Array(ranges.iter().map(range).collect())
    }

    #[test]
    fn a_fail_over_lists_the_node_again_and_no_other() {
        let before = [(0, 7001, "a"), (10, 7002, "b"), (20, 7003, "c"), (30, 7001, "a")];
        let before = masters(slots(&before)).unwrap();
        let ports = |masters: &[Master]| -> Vec<u16> {
            masters.iter().filter_map(|master| Some(master.node.as_ref()?.1)).collect()
        };
        assert_eq!(ports(&before), [7001, 7002, 7003]);
        let within =
            |number: usize| Cursor::new(before[number].id << NUMBER_BITS | number as u64, 5);
        for number in 0..3 {
            assert_eq!(resume(&before, within(number)), Some((number, 5)));
        }
        // The replica of the second has a higher port than all others.
        let after = [(20, 7003, "c"), (0, 7001, "a"), (10, 7009, "f"), (30, 7001, "a")];
        let after = masters(slots(&after)).unwrap();
        assert_eq!(ports(&after), [7001, 7009, 7003]);
        for (number, offset) in [(0, 5), (1, 0), (2, 5)] {
            assert_eq!(resume(&after, within(number)), Some((number, offset)));
        }
        assert_eq!(resume(&after, Cursor::default()), Some((0, 0)));
        assert_eq!(resume(&after, Cursor::new(3, 0)), None);
    }
}
