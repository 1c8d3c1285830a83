//! What stands in Redis.
//!
//! # Keys
//! ```text
//! session:{3f9a}mY6…                a record or a tombstone; in braces the tag, by which a cluster
//!                                   chooses the slot: the keys of a rotation share it
//! session:owner:{Zk2…}              a sorted set: the names of an owner's records, by the time
//!                                   until which an entry is kept; it goes when the session ends
//! session:owner:{Zk2…}:names        a sorted set: the same names in their order, which begin with
//!                                   the tag, so that a handle is found without reading the others
//! session:log:vF1…                  a list: lines that a tool keeps beside the sessions
//! ```
//!
//! # Values, version 1
//! One header of 168 characters at fixed offsets, so that a script can read it and `GET` shows it to
//! whoever looks, then the record as it was given.
//! ```text
//!   0   3  "CR1"
//!   3   1  kind: R record, T tombstone
//!   5  16  deadline, in ms since the Unix epoch, decimal
//!  22  16  idle timeout in ms, decimal
//!  39  16  revision, hexadecimal; drawn at random by the writer
//!  56  67  the four revisions before it under this key, the last one first, each as above or dashes
//! 124  43  record: its owner's key; tombstone: its successor; or dashes
//! 167   1  line feed
//! ```
//!
//! # The history
//! Revisions are drawn and not counted, so that a command whose reply was lost can be sent again: a
//! script that finds the revision that it was to write returns `done` and writes nothing. The
//! previous revisions extend this to a record that others changed in between. A create begins the
//! history, a replace and the tombstone of a destroy or rotate continue it, the record under a new
//! key begins its own, and a touch leaves it alone. A history with dashes at its end goes back to
//! the record's creation.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use cloakroom::{
    clock::Timestamp,
    store::{Draft, Found, OwnerKey, RecordKey, Revision, Stored},
};

const HEADER: usize = 168;
/// Where the history is.
const HISTORY: Range<usize> = 56..123;
/// The history of a record that is new under its key.
const NO_HISTORY: &str = "---------------- ---------------- ---------------- ----------------";
const NOBODY: &str = "-------------------------------------------";

/// A value as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) found: Found,
    pub(crate) idle: Duration,
    pub(crate) owner: Option<OwnerKey>,
}

/// The key of a record: `session:{3f9a}mY6…`.
pub(crate) fn key(prefix: &str, key: &RecordKey) -> String {
    let [high, low] = key.tag();
    format!("{prefix}{{{high:02x}{low:02x}}}{key}")
}

/// The slot of a record in a cluster.
pub(crate) fn slot(key: &RecordKey) -> u16 {
    let [high, low] = key.tag();
    crc16::State::<crc16::XMODEM>::calculate(format!("{high:02x}{low:02x}").as_bytes()) % 16_384
}

/// The two keys of an owner's index, which have one slot: by deadline, and by name.
pub(crate) fn index(prefix: &str, owner: &OwnerKey) -> [String; 2] {
    let by_deadline = format!("{prefix}owner:{{{owner}}}");
    let by_name = format!("{by_deadline}:names");
    [by_deadline, by_name]
}

/// The ends of a range by name that has the keys with this tag. It has others as well, because the
/// tag ends within a character.
pub(crate) fn beginning_with(tag: [u8; RecordKey::TAG_BYTES]) -> [String; 2] {
    let mut key = [0; 32];
    key[..RecordKey::TAG_BYTES].copy_from_slice(&tag);
    let name = RecordKey::from_bytes(key).to_string();
    // `~` is behind each character of a name.
    [format!("[{}", &name[..2]), format!("[{}~", &name[..2])]
}

/// Until when an entry of an index is kept: its score.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
pub(crate) fn index_deadline(score: f64) -> Timestamp {
    Timestamp::from_millis(score as u64)
}

/// Returns the value of a record that is new under its key.
pub(crate) fn record(draft: &Draft, revision: Revision) -> Vec<u8> {
    let link = draft.owner.map_or_else(|| NOBODY.to_owned(), |owner| owner.to_string());
    let mut value = header('R', draft.expires, draft.idle, revision, &link);
    value.extend_from_slice(&draft.record);
    value
}

/// Returns the value of a record that replaces another, in two parts. The script that writes it puts
/// the history between them.
pub(crate) fn replacement(draft: &Draft, revision: Revision) -> [Vec<u8>; 2] {
    let mut before = record(draft, revision);
    let behind = before.split_off(HISTORY.end);
    before.truncate(HISTORY.start);
    [before, behind]
}

/// Returns the value of a tombstone. The script that leaves it puts in the history.
pub(crate) fn tombstone(until: Timestamp, successor: Option<RecordKey>, mark: Revision) -> Vec<u8> {
    let link = successor.map_or_else(|| NOBODY.to_owned(), |key| key.to_string());
    header('T', until, Duration::ZERO, mark, &link)
}

fn header(
    kind: char,
    expires: Timestamp,
    idle: Duration,
    revision: Revision,
    link: &str,
) -> Vec<u8> {
    let expires = deadline(expires);
    let idle = idle.as_millis().min(u128::from(MOST));
    let revision = self::revision(revision);
    format!("CR1{kind} {expires} {idle:016} {revision} {NO_HISTORY} {link}\n").into_bytes()
}

/// As far as sixteen digits go.
const MOST: u64 = 9_999_999_999_999_999;

/// A deadline as the header has it.
pub(crate) fn deadline(at: Timestamp) -> String {
    format!("{:016}", at.as_millis().min(MOST))
}

/// A revision as the header has it.
pub(crate) fn revision(revision: Revision) -> String {
    format!("{:016x}", revision.0)
}

/// Reads a revision as the header has it.
pub(crate) fn parse_revision(text: &[u8]) -> Option<Revision> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).map(Revision).ok()
}

/// Reads a value. Returns `None` if it is none of ours or spoilt.
pub(crate) fn parse(value: &Bytes) -> Option<Parsed> {
    let header = std::str::from_utf8(value.get(..HEADER)?).ok()?;
    let fields: Vec<_> = header.strip_suffix('\n')?.split(' ').collect();
    let [kind, expires, idle, revision, _, _, _, _, link] = fields.as_slice() else { return None };
    let expires = Timestamp::from_millis(expires.parse().ok()?);
    let idle = Duration::from_millis(idle.parse().ok()?);
    let revision = parse_revision(revision.as_bytes())?;
    let linked = *link != NOBODY;
    let found = match *kind {
        "CR1R" => Found::Live(Stored { record: value.slice(HEADER..), revision, expires }),
        "CR1T" if linked => Found::Tombstone { successor: Some(RecordKey::parse(link)?), expires },
        "CR1T" => Found::Tombstone { successor: None, expires },
        _ => return None,
    };
    let owner = match &found {
        Found::Live(_) if linked => Some(OwnerKey::parse(link)?),
        _ => None,
    };
    Some(Parsed { found, idle, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(owner: Option<OwnerKey>) -> Draft {
        let now = Timestamp::from_millis(1_735_689_600_000);
        Draft { owner, ..Draft::new("values", now, Duration::from_hours(2)) }
    }

    #[test]
    fn the_golden_value_is_written_and_read() {
        let golden = "CR1R 0001735696800000 0000000007200000 00000000deadbeef \
                      ---------------- ---------------- ---------------- ---------------- \
                      -------------------------------------------\nvalues";
        let value = record(&draft(None), Revision(0xdead_beef));
        assert_eq!(String::from_utf8(value.clone()).unwrap(), golden);
        let parsed = parse(&value.into()).unwrap();
        let Found::Live(stored) = parsed.found else { panic!("{parsed:?}") };
        assert_eq!((stored.record.as_ref(), stored.revision.0), (&b"values"[..], 0xdead_beef));
        assert_eq!(parsed.idle, Duration::from_hours(2));
    }

    #[test]
    fn the_history_is_where_the_scripts_read_it() {
        let value = record(&draft(Some(OwnerKey::of("user-42"))), Revision(0xdead_beef));
        let revision: &[u8] = b"00000000deadbeef";
        assert_eq!(&value[39..55], revision, "40 to 55 in Lua");
        assert_eq!(&value[HISTORY], NO_HISTORY.as_bytes(), "57 to 123 in Lua");
        assert_eq!(&value[107..123], b"----------------", "the oldest, 108 to 123 in Lua");
        assert_eq!(value[124..167], *OwnerKey::of("user-42").to_string().as_bytes());
        assert_eq!(value[HEADER - 1], b'\n');
        // A script takes the revision and the three after it for the history of what comes next.
        assert_eq!((39..106).len(), HISTORY.len());
    }

    #[test]
    fn a_value_with_a_history_is_read_like_one_without() {
        let value = record(&draft(None), Revision(5));
        let [before, behind] = replacement(&draft(None), Revision(5));
        let history = b"0000000000000004 0000000000000003 0000000000000002 0000000000000001";
        let replaced = [&before[..], history, &behind].concat();
        assert_eq!(replaced.len(), value.len());
        assert_eq!(parse(&replaced.into()), parse(&value.into()));
    }

    #[test]
    fn owner_and_successor_survive() {
        let owner = OwnerKey::of("user-42");
        let value = record(&draft(Some(owner)), Revision(1));
        assert_eq!(parse(&value.into()).unwrap().owner, Some(owner));
        for successor in [None, Some(RecordKey::from_bytes([7; 32]))] {
            let expires = Timestamp::from_millis(5);
            let value = tombstone(expires, successor, Revision(1)).into();
            assert_eq!(parse(&value).unwrap().found, Found::Tombstone { successor, expires });
        }
    }

    #[test]
    fn what_is_cut_short_or_written_by_hand_is_no_value() {
        let value = record(&draft(None), Revision(1));
        for length in 0..HEADER {
            assert_eq!(parse(&Bytes::copy_from_slice(&value[..length])), None);
        }
        for garbage in ["", "garbage", &"x".repeat(200), "{\"v\":1}"] {
            assert_eq!(parse(&Bytes::copy_from_slice(garbage.as_bytes())), None);
        }
    }

    #[test]
    fn the_keys_of_a_rotation_have_one_hash_tag() {
        let (mut one, mut other) = ([7; 32], [7; 32]);
        (one[31], other[31]) = (1, 2);
        let [one, other] = [one, other].map(|bytes| key("session:", &RecordKey::from_bytes(bytes)));
        assert_ne!(one, other);
        assert_eq!(one[..14], other[..14]);
        assert!(one.starts_with("session:{0707}"));
    }
}
