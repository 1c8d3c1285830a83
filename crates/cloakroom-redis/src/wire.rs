//! The keys and values in Redis.
//!
//! # Keys
//! ```text
//! session:{3f9a}mY6…                a record or a tombstone; the braces have the tag, from which a
//!                                   cluster derives the slot, so the keys of a rotation share a slot
//! session:owner:{Zk2…}              a sorted set: the names of an owner's records, by the time when
//!                                   the entry expires; the end of the session removes it
//! session:owner:{Zk2…}:names        a sorted set: the same names in order; they begin with the tag, so
//!                                   a handle is found without reading the others
//! session:log:vF1…                  a list: lines that a tool stores beside the sessions
//! ```
//!
//! # Values, version 1
//! A header of 168 characters at fixed offsets, followed by the record. Scripts can read the header, and
//! operators can with `GET`.
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
//! Revisions are random numbers, so that a command whose reply was lost can be sent again: a
//! script that finds the revision that it was to write returns `done` and writes nothing. The
//! previous revisions extend this to a record that others changed in between. A create begins the
//! history, a replace and the tombstone of a destroy or rotate continue it, the record under a new
//! key begins its own, and a touch leaves it alone. A history with dashes at its end goes back to
//! the record's creation.

use std::{ops::Range, time::Duration};

use bytes::Bytes;
use cloakroom_store::{
    Draft, Entry, OwnerKey, RecordKey, Revision, StoredRecord, clock::Timestamp,
};

/// The beginning of a record that is not a tombstone.
pub(crate) const LIVE: &[u8] = b"CR1R";
const HEADER: usize = 168;
const KIND: usize = 3;
const EXPIRES: Range<usize> = 5..21;
const IDLE: Range<usize> = 22..38;
const REVISION: Range<usize> = 39..55;
const HISTORY: Range<usize> = 56..123;
const LINK: Range<usize> = 124..167;
/// The offsets where all headers are the same.
const PUNCTUATION: [usize; 9] = [0, 1, 2, 4, 21, 38, 55, 123, 167];
/// A header without a history and a link.
const EMPTY_HEADER: &[u8; HEADER] = b"\
    CR1- 0000000000000000 0000000000000000 0000000000000000 \
    ---------------- ---------------- ---------------- ---------------- \
    -------------------------------------------\n";
const NO_LINK: &str = "-------------------------------------------";

/// A value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) found: Entry,
    pub(crate) idle: Duration,
    pub(crate) owner: Option<OwnerKey>,
}

/// Returns the key of a record: `session:{3f9a}mY6…`.
pub(crate) fn key(prefix: &str, key: &RecordKey) -> String {
    let mut name = String::with_capacity(prefix.len() + "{3f9a}".len() + NO_LINK.len());
    name.push_str(prefix);
    name.push('{');
    name.extend(hash_tag(key).map(char::from));
    name.push('}');
    name.push_str(&key.to_string());
    name
}

/// Reads the name of a record that [`key`] has written, with any prefix. Returns `None` for other names.
pub(crate) fn parse_key(name: &str) -> Option<RecordKey> {
    RecordKey::parse(name.rsplit_once('}')?.1)
}

/// Returns the slot of a record in a cluster.
pub(crate) fn slot(key: &RecordKey) -> u16 {
    crc16::State::<crc16::XMODEM>::calculate(&hash_tag(key)) % 16_384
}

fn hash_tag(key: &RecordKey) -> [u8; 4] {
    let mut digits = [0; 4];
    write_number::<16>(&mut digits, u16::from_be_bytes(key.tag()).into());
    digits
}

/// Returns the two keys of an owner's index, by deadline and by name. They share a slot.
pub(crate) fn index(prefix: &str, owner: &OwnerKey) -> [String; 2] {
    let by_deadline = format!("{prefix}owner:{{{owner}}}");
    let by_name = format!("{by_deadline}:names");
    [by_deadline, by_name]
}

/// Returns the ends of a range by name that contains the keys with this tag. It contains others as well,
/// because the tag ends within a character.
pub(crate) fn beginning_with(tag: [u8; RecordKey::TAG_BYTES]) -> [String; 2] {
    let mut key = [0; 32];
    key[..RecordKey::TAG_BYTES].copy_from_slice(&tag);
    let name = RecordKey::from_bytes(key).to_string();
    // `~` sorts after each character of a name.
    [format!("[{}", &name[..2]), format!("[{}~", &name[..2])]
}

/// Returns the time when an entry of an index expires, which is its score.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
pub(crate) fn index_deadline(score: f64) -> Timestamp {
    Timestamp::from_millis(score as u64)
}

/// Returns the value of a record under a new key.
pub(crate) fn record(draft: &Draft, revision: Revision) -> Vec<u8> {
    let link = draft.owner.map(|owner| owner.to_string());
    let mut value = Vec::with_capacity(HEADER + draft.bytes.len());
    value.extend_from_slice(&header(b'R', draft.expires, draft.idle, revision, link.as_deref()));
    value.extend_from_slice(&draft.bytes);
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
    let link = successor.map(|key| key.to_string());
    header(b'T', until, Duration::ZERO, mark, link.as_deref()).to_vec()
}

/// Returns a header without a history. Each part is written to its place in an empty one.
fn header(
    kind: u8,
    expires: Timestamp,
    idle: Duration,
    revision: Revision,
    link: Option<&str>,
) -> [u8; HEADER] {
    let mut header = *EMPTY_HEADER;
    header[KIND] = kind;
    header[EXPIRES].copy_from_slice(&deadline(expires));
    let idle = idle.as_millis().try_into().unwrap_or(u64::MAX);
    write_number::<10>(&mut header[IDLE], idle.min(MAX_NUMBER));
    header[REVISION].copy_from_slice(&self::revision(revision));
    if let Some(link) = link {
        header[LINK].copy_from_slice(link.as_bytes());
    }
    header
}

/// The largest number of sixteen digits.
const MAX_NUMBER: u64 = 9_999_999_999_999_999;

/// Returns a deadline in the form of the header.
pub(crate) fn deadline(at: Timestamp) -> [u8; 16] {
    let mut digits = [0; 16];
    write_number::<10>(&mut digits, at.as_millis().min(MAX_NUMBER));
    digits
}

/// Returns a revision in the form of the header.
pub(crate) fn revision(revision: Revision) -> [u8; 16] {
    let mut digits = [0; 16];
    write_number::<16>(&mut digits, revision.0);
    digits
}

/// Writes a number to the base `BASE`, with leading zeros.
fn write_number<const BASE: u64>(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[usize::try_from(number % BASE).unwrap_or_default()];
        number /= BASE;
    }
}

/// Reads a revision in the form of the header.
pub(crate) fn parse_revision(text: &[u8]) -> Option<Revision> {
    u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).map(Revision).ok()
}

/// Reads a value. Returns `None` if it is damaged or not a record.
pub(crate) fn parse(value: &Bytes) -> Option<Parsed> {
    let header: &[u8; HEADER] = value.first_chunk()?;
    let has = |at: usize| header[at] == EMPTY_HEADER[at];
    if !PUNCTUATION.into_iter().all(has) {
        return None;
    }
    let text = |range| std::str::from_utf8(&header[range]).ok();
    let number = |range| text(range)?.parse().ok();
    let expires = Timestamp::from_millis(number(EXPIRES)?);
    let idle = Duration::from_millis(number(IDLE)?);
    let revision = parse_revision(&header[REVISION])?;
    let link = text(LINK).filter(|link| *link != NO_LINK);
    let found = match header[KIND] {
        b'R' => Entry::Live(StoredRecord::new(value.slice(HEADER..), revision, expires)),
        b'T' => {
            let successor = link.map(|link| RecordKey::parse(link).ok_or(())).transpose().ok()?;
            Entry::tombstone(successor, expires)
        }
        _ => return None,
    };
    let owner = match (&found, link) {
        (Entry::Live(_), Some(link)) => Some(OwnerKey::parse(link)?),
        _ => None,
    };
    Some(Parsed { found, idle, owner })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draft(owner: Option<OwnerKey>) -> Draft {
        let now = Timestamp::from_millis(1_735_689_600_000);
        Draft::new("values", now, Duration::from_hours(2)).with_owner(owner)
    }

    #[test]
    fn a_key_follows_its_tag() {
        let record = RecordKey::from_bytes([7; 32]);
        assert_eq!(parse_key(&key("session:", &record)), Some(record));
        assert_eq!(parse_key("session:owner:x"), None);
    }

    #[test]
    fn a_live_record_is_known_by_its_beginning() {
        let revision = Revision(1);
        assert!(record(&draft(None), revision).starts_with(LIVE));
        assert!(!tombstone(Timestamp::from_millis(1), None, revision).starts_with(LIVE));
    }

    #[test]
    fn the_golden_value_is_written_and_read() {
        let golden = "CR1R 0001735696800000 0000000007200000 00000000deadbeef \
                      ---------------- ---------------- ---------------- ---------------- \
                      -------------------------------------------\nvalues";
        let value = record(&draft(None), Revision(0xdead_beef));
        assert_eq!(String::from_utf8(value.clone()).unwrap(), golden);
        let parsed = parse(&value.into()).unwrap();
        let Entry::Live(stored) = parsed.found else { panic!("{parsed:?}") };
        assert_eq!((stored.bytes.as_ref(), stored.revision.0), (&b"values"[..], 0xdead_beef));
        assert_eq!(parsed.idle, Duration::from_hours(2));
    }

    #[test]
    fn the_history_is_where_the_scripts_read_it() {
        let value = record(&draft(Some(OwnerKey::of("user-42"))), Revision(0xdead_beef));
        let revision: &[u8] = b"00000000deadbeef";
        assert_eq!(&value[39..55], revision, "40 to 55 in Lua");
        assert_eq!(&value[HISTORY], &EMPTY_HEADER[HISTORY], "57 to 123 in Lua");
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
            assert_eq!(parse(&value).unwrap().found, Entry::tombstone(successor, expires));
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
