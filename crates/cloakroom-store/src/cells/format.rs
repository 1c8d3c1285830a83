//! The format of a cell.
//!
//! # Format, version 1
//! Numbers are big-endian.
//! ```text
//!   0   1  version, 1
//!   1   1  kind: 1 record, 2 record that a rotation wrote, 3 tombstone without a successor,
//!          4 tombstone with a successor, 5 tombstone of a session that another session replaced
//!   2   8  deadline, in ms since the Unix epoch
//!  10   8  revision
//!  18   8  start of the SHA-256 of the record key and of all other bytes of the cell
//!  26  32  kind 2: the key that the record was rotated from; kinds 4 and 5: the key that it was rotated
//!          to; other kinds: nothing
//!      ..  kinds 1 and 2: the record
//! ```
//! The checksum includes the key. So a reply that a client mixes up with the reply to another request
//! is unreadable, and does not sign a visitor in as another one.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::{Draft, Entry, RecordKey, Revision, StoredRecord, clock::Timestamp};

const VERSION: u8 = 1;
/// The offset of the checksum.
const CHECK: usize = 18;
/// The offset of the key of another cell, or of the record.
const BODY: usize = 26;

/// The contents of a cell.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) kind: Kind,
    pub(super) expires: Timestamp,
    pub(super) revision: Revision,
}

#[derive(Clone, PartialEq, Eq)]
pub(super) enum Kind {
    Record {
        bytes: Bytes,
        /// The key that a rotation moved the record from. The record is live as long as the tombstone
        /// under that key names it. `None` if it does not depend on a tombstone.
        rotated_from: Option<RecordKey>,
    },
    Tombstone {
        successor: Option<RecordKey>,
    },
    /// The tombstone of a session that another session replaced. It makes the other session's record
    /// live, and is a tombstone without a successor to the outside.
    Replaced {
        by: RecordKey,
    },
}

impl Kind {
    fn code(&self) -> u8 {
        match self {
            Self::Record { rotated_from: None, .. } => 1,
            Self::Record { rotated_from: Some(_), .. } => 2,
            Self::Tombstone { successor: None } => 3,
            Self::Tombstone { successor: Some(_) } => 4,
            Self::Replaced { .. } => 5,
        }
    }

    fn link(&self) -> Option<&RecordKey> {
        match self {
            Self::Record { rotated_from: link, .. } | Self::Tombstone { successor: link } => {
                link.as_ref()
            }
            Self::Replaced { by } => Some(by),
        }
    }

    /// Returns the key of the record that a tombstone made live.
    pub(super) fn made_live(&self) -> Option<&RecordKey> {
        match self {
            Self::Record { .. } => None,
            Self::Tombstone { .. } | Self::Replaced { .. } => self.link(),
        }
    }

    /// Returns the key whose tombstone this record needs.
    pub(super) fn rotated_from(&self) -> Option<RecordKey> {
        match self {
            Self::Record { rotated_from, .. } => *rotated_from,
            Self::Tombstone { .. } | Self::Replaced { .. } => None,
        }
    }
}

impl Content {
    /// Returns a record, which needs the tombstone under `rotated_from`, if that is a key.
    pub(super) fn record(
        draft: Draft,
        revision: Revision,
        rotated_from: Option<RecordKey>,
    ) -> Self {
        let Draft { bytes, expires, .. } = draft;
        Self { kind: Kind::Record { bytes, rotated_from }, expires, revision }
    }

    /// Returns what is under the key for the outside, if its deadline has not passed.
    pub(super) fn entry(self, now: Timestamp) -> Option<Entry> {
        let Self { kind, expires, revision } = self;
        (expires > now).then(|| match kind {
            Kind::Record { bytes, .. } => Entry::Live(StoredRecord::new(bytes, revision, expires)),
            Kind::Tombstone { successor } => Entry::tombstone(successor, expires),
            Kind::Replaced { .. } => Entry::tombstone(None, expires),
        })
    }

    /// Returns the bytes of the cell under `key`.
    pub(super) fn encode(&self, key: &RecordKey) -> Bytes {
        let record = match &self.kind {
            Kind::Record { bytes, .. } => bytes,
            Kind::Tombstone { .. } | Kind::Replaced { .. } => &Bytes::new(),
        };
        let link: &[u8] = self.kind.link().map_or(&[], |link| link.as_bytes());
        let mut cell = Vec::with_capacity(BODY + link.len() + record.len());
        cell.extend_from_slice(&[VERSION, self.kind.code()]);
        cell.extend_from_slice(&self.expires.as_millis().to_be_bytes());
        cell.extend_from_slice(&self.revision.0.to_be_bytes());
        cell.extend_from_slice(&[0; BODY - CHECK]);
        cell.extend_from_slice(link);
        cell.extend_from_slice(record);
        let check = checksum(key, &cell);
        cell[CHECK..BODY].copy_from_slice(&check);
        cell.into()
    }

    /// Reads a cell. Returns `None` for bytes that were not written under `key` by this version.
    pub(super) fn decode(key: &RecordKey, cell: &Bytes) -> Option<Self> {
        if cell.len() < BODY || cell[0] != VERSION || cell[CHECK..BODY] != checksum(key, cell) {
            return None;
        }
        let number = |at: usize| Some(u64::from_be_bytes(*cell.get(at..)?.first_chunk()?));
        let linked = matches!(cell[1], 2 | 4 | 5);
        let link = if linked { Some(*cell[BODY..].first_chunk::<32>()?) } else { None };
        let link = link.map(RecordKey::from_bytes);
        let record = cell.slice(if linked { BODY + 32 } else { BODY }..);
        let kind = match (cell[1], link) {
            (1 | 2, rotated_from) => Kind::Record { bytes: record, rotated_from },
            (3 | 4, successor) if record.is_empty() => Kind::Tombstone { successor },
            (5, Some(by)) if record.is_empty() => Kind::Replaced { by },
            _ => return None,
        };
        let (expires, revision) = (Timestamp::from_millis(number(2)?), Revision(number(10)?));
        Some(Self { kind, expires, revision })
    }
}

/// Returns the checksum of a cell of at least [`BODY`] bytes.
fn checksum(key: &RecordKey, cell: &[u8]) -> [u8; BODY - CHECK] {
    let hash = Sha256::new().chain_update(key.as_bytes()).chain_update(&cell[..CHECK]);
    let hash: [u8; 32] = hash.chain_update(&cell[BODY..]).finalize().into();
    let mut check = [0; BODY - CHECK];
    check.copy_from_slice(&hash[..BODY - CHECK]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: RecordKey = RecordKey::from_bytes([9; 32]);
    const OTHER: RecordKey = RecordKey::from_bytes([7; 32]);

    fn contents() -> Vec<Content> {
        let record = |rotated_from| Kind::Record { bytes: "values".into(), rotated_from };
        let kinds = [
            record(None),
            record(Some(OTHER)),
            Kind::Tombstone { successor: None },
            Kind::Tombstone { successor: Some(OTHER) },
            Kind::Replaced { by: OTHER },
        ];
        let expires = Timestamp::from_millis(1_735_689_600_000);
        kinds.map(|kind| Content { kind, expires, revision: Revision(9) }).into()
    }

    #[test]
    fn contents_survive_their_bytes() {
        for content in contents() {
            assert!(Content::decode(&KEY, &content.encode(&KEY)) == Some(content));
        }
    }

    /// The vectors were computed from the description above by another program.
    #[test]
    fn the_bytes_are_those_of_version_1() {
        let numbers = "000001941f297c000000000000000009";
        let link = "07".repeat(32);
        let expected = [
            format!("0101{numbers}0eee47698fb88e9f76616c756573"),
            format!("0102{numbers}9f0f870a97e61512{link}76616c756573"),
            format!("0103{numbers}366cd208168fc9d5"),
            format!("0104{numbers}b1ddb70b4959a0d0{link}"),
            format!("0105{numbers}3af834888afb2c48{link}"),
        ];
        for (content, expected) in contents().iter().zip(expected) {
            assert_eq!(hex(&content.encode(&KEY)), expected);
        }
    }

    fn hex(bytes: &[u8]) -> String {
        let digit = |digit: u8| char::from_digit(digit.into(), 16).unwrap();
        bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    #[test]
    fn a_cell_of_another_key_is_unreadable() {
        for content in contents() {
            assert!(Content::decode(&OTHER, &content.encode(&KEY)).is_none());
        }
    }

    #[test]
    fn a_cell_that_is_cut_short_prolonged_or_flipped_anywhere_is_unreadable() {
        for content in contents() {
            let cell = content.encode(&KEY);
            for length in 0..cell.len() {
                assert!(Content::decode(&KEY, &cell.slice(..length)).is_none(), "cut at {length}");
            }
            assert!(Content::decode(&KEY, &[&cell[..], b"x"].concat().into()).is_none());
            for bit in 0..cell.len() * 8 {
                let mut flipped = cell.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert!(Content::decode(&KEY, &flipped.into()).is_none(), "bit {bit}");
            }
        }
    }
}
