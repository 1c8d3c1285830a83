//! The values of statements and rows: whole numbers and bytes.

use std::fmt::Write as _;

use bytes::Bytes;
use cloakroom_store::{
    Commit, Cursor, Draft, Entry, RecordKey, Revision, StoredRecord, clock::Timestamp,
};

/// A parameter of a statement.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Number(i64),
    Bytes(&'a [u8]),
    /// NULL where a number could be.
    NoNumber,
    /// NULL where bytes could be.
    NoBytes,
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a> From<&'a RecordKey> for Value<'a> {
    fn from(key: &'a RecordKey) -> Self {
        Self::Bytes(key.as_bytes())
    }
}

impl From<Revision> for Value<'_> {
    fn from(revision: Revision) -> Self {
        Self::Number(revision.0.cast_signed())
    }
}

impl From<Timestamp> for Value<'_> {
    fn from(time: Timestamp) -> Self {
        Self::Number(millis(time))
    }
}

/// Returns a time as the column has it. A time that no database can hold is the latest one that it can.
pub(crate) fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// Returns bytes as digits, for a literal in a statement.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Writing to a string does not fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// The mark of a destroy in the place of a successor, so that a statement that is sent again recognises its
/// own tombstone. It is too short for a key.
pub(crate) type Mark = [u8; 8];

/// Returns the mark of a step that has drawn this revision.
pub(crate) fn mark(revision: Revision) -> Mark {
    revision.0.to_be_bytes()
}

/// Returns the values of the statement that carries out a step:
///
/// | step | values |
/// |---|---|
/// | create | id, revision, deadline, owner, record, now |
/// | replace | id, expected, revision, deadline, owner, record, now |
/// | touch | id, expected, deadline, now |
/// | destroy | id, none, mark, tombstone, now |
/// | rotate | id, expected, successor, tombstone, now, new id, revision, deadline, owner, record |
pub(crate) fn of_step<'c>(
    commit: &'c Commit,
    revision: Revision,
    mark: &'c Mark,
    now: Timestamp,
) -> Vec<Value<'c>> {
    let (revision, now) = (Value::from(revision), Value::from(now));
    match commit {
        Commit::Create { key, draft, .. } => {
            [&[key.into()][..], &record(draft, revision), &[now]].concat()
        }
        Commit::Replace { key, expected, draft, .. } => {
            [&[key.into(), (*expected).into()][..], &record(draft, revision), &[now]].concat()
        }
        Commit::Touch { key, expected, expires, .. } => {
            vec![key.into(), (*expected).into(), (*expires).into(), now]
        }
        Commit::Destroy { key, tombstone, .. } => {
            vec![key.into(), Value::NoNumber, mark[..].into(), (*tombstone).into(), now]
        }
        Commit::Rotate { from, expected, to, draft, tombstone, .. } => {
            let (expected, successor) = match expected {
                Some(expected) => ((*expected).into(), to.into()),
                None => (Value::NoNumber, Value::NoBytes),
            };
            let bury = [from.into(), expected, successor, (*tombstone).into(), now];
            [&bury[..], &[to.into()], &record(draft, revision)].concat()
        }
    }
}

/// Returns the values of a rotation as those of the two statements that make it up: the tombstone, and the
/// creation under the new key.
pub(crate) fn halves_of_rotation<'v, 'c>(
    values: &'v [Value<'c>],
) -> (&'v [Value<'c>], Vec<Value<'c>>) {
    let (bury, create) = values.split_at(5);
    (bury, [create, &bury[4..]].concat())
}

/// Returns a number of rows.
pub(crate) fn count(rows: usize) -> Value<'static> {
    Value::Number(i64::try_from(rows).unwrap_or(i64::MAX))
}

/// Returns the key after which a page begins, or no bytes for the first page.
pub(crate) fn after(from: Cursor) -> Vec<u8> {
    from.last_key().map_or(Vec::new(), |key| key.as_bytes().to_vec())
}

/// Returns revision, deadline, owner and bytes of a record.
fn record<'d>(draft: &'d Draft, revision: Value<'d>) -> [Value<'d>; 4] {
    let owner = draft.owner.as_ref();
    let owner = owner.map_or(Value::NoBytes, |owner| owner.as_bytes()[..].into());
    [revision, draft.expires.into(), owner, draft.bytes[..].into()]
}

/// A row of the table of sessions.
#[derive(Clone, Debug)]
pub struct Row {
    pub(crate) revision: i64,
    pub(crate) expires: i64,
    /// `None` is a tombstone.
    pub(crate) record: Option<Bytes>,
    pub(crate) successor: Option<Vec<u8>>,
}

impl Row {
    pub(crate) fn revision(&self) -> Revision {
        Revision(self.revision.cast_unsigned())
    }

    pub(crate) fn expires(&self) -> Timestamp {
        Timestamp::from_millis(u64::try_from(self.expires).unwrap_or_default())
    }

    /// Returns the row as the contract has it, unless its deadline has passed.
    pub(crate) fn entry(self, now: Timestamp) -> Option<Entry> {
        let (revision, expires) = (self.revision(), self.expires());
        (expires > now).then(|| match self.record {
            Some(bytes) => Entry::Live(StoredRecord::new(bytes, revision, expires)),
            None => Entry::tombstone(self.successor.as_deref().and_then(key), expires),
        })
    }
}

/// Reads a key from a column.
pub(crate) fn key(bytes: &[u8]) -> Option<RecordKey> {
    bytes.try_into().ok().map(RecordKey::from_bytes)
}
