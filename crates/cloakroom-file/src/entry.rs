//! The entry in a file: what kind of file it is, and whether its record is live.

use std::io;

use bytes::Bytes;

use crate::format::{HEADER, Header, Kind, decode, is_of_later_version, is_whole};
use cloakroom_store::{Entry, RecordKey, StoredRecord, clock::Timestamp};

/// The log message about a file of a later version.
pub(super) const LATER_VERSION: &str = "ignoring a session file that a later version of the library wrote; \
    the file stays";

/// The file under a key, whether its record is live or not.
pub(super) enum Content<R> {
    /// No file.
    Nothing,
    /// A link, a folder or another user's file. It stays, so no record can have this key.
    Foreign,
    /// A file that a later version of the library wrote. It stays, because that version may run
    /// beside this one.
    LaterVersion,
    /// A damaged file, or one that was written under another name.
    Corrupt,
    /// An undamaged file.
    Whole(Header, R),
}

impl Content<Bytes> {
    /// Judges the bytes of a file under `key`.
    pub(super) fn of(key: &RecordKey, bytes: Vec<u8>) -> Self {
        let Some((front, record)) = bytes.split_first_chunk::<HEADER>() else {
            return Self::Corrupt;
        };
        match decode(front) {
            Some(header) if is_whole(key, front, record) => {
                Self::Whole(header, Bytes::from(bytes).split_off(HEADER))
            }
            None if is_of_later_version(front) => Self::LaterVersion,
            _ => Self::Corrupt,
        }
    }
}

impl Content<()> {
    /// Returns the header of an undamaged file.
    pub(super) fn header(self) -> Option<Header> {
        match self {
            Self::Whole(header, ()) => Some(header),
            Self::Nothing | Self::Foreign | Self::LaterVersion | Self::Corrupt => None,
        }
    }
}

/// Returns the live record or tombstone of a file. `was_rotated` returns whether the rotation from its
/// argument to the key of this file was completed.
pub(super) fn found(
    header: Header,
    record: Bytes,
    now: Timestamp,
    was_rotated: impl FnOnce(&RecordKey) -> io::Result<bool>,
) -> io::Result<Option<Entry>> {
    if header.expires <= now {
        return Ok(None);
    }
    let Header { revision, expires, .. } = header;
    Ok(match header.kind {
        Kind::Tombstone { successor } => Some(Entry::tombstone(successor, expires)),
        Kind::Replaced { .. } => Some(Entry::tombstone(None, expires)),
        Kind::Record { rotated_from: Some(from) } if !was_rotated(&from)? => None,
        Kind::Record { .. } => Some(Entry::Live(StoredRecord::new(record, revision, expires))),
    })
}

/// Returns the kind of a record that depends on no tombstone.
pub(super) fn detached() -> Kind {
    Kind::Record { rotated_from: None }
}
