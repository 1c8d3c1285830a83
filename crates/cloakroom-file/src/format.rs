//! The format of a session file.
//!
//! # Format, version 1
//! A header of 128 bytes at fixed offsets with big-endian numbers, followed by the record.
//! ```text
//!   0   4  "CLKR"
//!   4   1  version, 1
//!   5   1  kind: 1 record, 2 tombstone, 3 tombstone of a session that another session replaced
//!   6   2  zero
//!   8   8  deadline, in ms since the Unix epoch
//!  16   8  revision
//!  24   8  length of the record in bytes
//!  32  32  record: the key that it was rotated from; tombstone: the key that it was rotated to; or
//!          zero
//!  64  32  owner's key, or zero
//!  96   8  start of the SHA-256 of the key that the file is named by and of the 96 bytes before
//! 104  24  start of the SHA-256 of the key that the file is named by and of everything else
//! ```
//! The header has its own checksum, so that the sweep reads the header of each file and no record. Both
//! checksums include the key, so a file that was renamed, copied or linked to another name is not valid
//! under that name.
//!
//! Files of all later versions begin with the same four bytes and their version, and have at least 128
//! bytes.

use sha2::{Digest, Sha256};

use cloakroom_store::{OwnerKey, RecordKey, Revision, clock::Timestamp};

pub(super) const HEADER: usize = 128;
const MAGIC: &[u8] = b"CLKR";
const VERSION: u8 = 1;
/// The offsets of the checksums.
const HEADER_CHECK: usize = 96;
const CHECK: usize = 104;

/// The header of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) expires: Timestamp,
    pub(super) revision: Revision,
    pub(super) owner: Option<OwnerKey>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Record {
        /// The key that a rotation moved it from. The record is live as long as the tombstone under
        /// that key names it. `None` if it does not depend on a tombstone.
        rotated_from: Option<RecordKey>,
    },
    Tombstone {
        successor: Option<RecordKey>,
    },
    /// The tombstone of a session that another session replaced. It makes the other session's record
    /// live, and lookups do not follow it.
    Replaced {
        by: Option<RecordKey>,
    },
}

impl Kind {
    fn code(&self) -> u8 {
        match self {
            Self::Record { .. } => 1,
            Self::Tombstone { .. } => 2,
            Self::Replaced { .. } => 3,
        }
    }

    fn link(&self) -> Option<&RecordKey> {
        match self {
            Self::Record { rotated_from: link }
            | Self::Tombstone { successor: link }
            | Self::Replaced { by: link } => link.as_ref(),
        }
    }

    /// Returns the key of the record that a tombstone made live.
    pub(super) fn made_live(&self) -> Option<&RecordKey> {
        match self {
            Self::Record { .. } => None,
            Self::Tombstone { successor: to } | Self::Replaced { by: to } => to.as_ref(),
        }
    }
}

/// Returns the bytes of the file of `key`.
pub(super) fn encode(key: &RecordKey, header: &Header, record: &[u8]) -> Vec<u8> {
    let none = &[0; 32];
    let mut bytes = Vec::with_capacity(HEADER + record.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&[VERSION, header.kind.code(), 0, 0]);
    bytes.extend_from_slice(&header.expires.as_millis().to_be_bytes());
    bytes.extend_from_slice(&header.revision.0.to_be_bytes());
    bytes.extend_from_slice(&(record.len() as u64).to_be_bytes());
    bytes.extend_from_slice(header.kind.link().map_or(none, |key| key.as_bytes()));
    bytes.extend_from_slice(header.owner.as_ref().map_or(none, |owner| owner.as_bytes()));
    let check = hash(key, &bytes, &[]);
    bytes.extend_from_slice(&check[..CHECK - HEADER_CHECK]);
    let check = hash(key, &bytes, record);
    bytes.extend_from_slice(&check[..HEADER - CHECK]);
    bytes.extend_from_slice(record);
    bytes
}

/// Reads a header. [`is_whole`] checks it together with the record, [`is_genuine`] without the record.
pub(super) fn decode(bytes: &[u8; HEADER]) -> Option<Header> {
    let field = |at: usize| -> [u8; 8] {
        let mut field = [0; 8];
        field.copy_from_slice(&bytes[at..at + 8]);
        field
    };
    let key = |at: usize| -> Option<[u8; 32]> {
        let mut key = [0; 32];
        key.copy_from_slice(&bytes[at..at + 32]);
        (key != [0; 32]).then_some(key)
    };
    if !bytes.starts_with(MAGIC) || bytes[4] != VERSION {
        return None;
    }
    let link = key(32).map(RecordKey::from_bytes);
    let kind = match bytes[5] {
        1 => Kind::Record { rotated_from: link },
        2 => Kind::Tombstone { successor: link },
        3 => Kind::Replaced { by: link },
        _ => return None,
    };
    Some(Header {
        kind,
        expires: Timestamp::from_millis(u64::from_be_bytes(field(8))),
        revision: Revision(u64::from_be_bytes(field(16))),
        owner: key(64).map(OwnerKey::from_bytes),
    })
}

/// Returns `true` for the header of a file that a later version of the library wrote.
pub(super) fn is_of_later_version(bytes: &[u8; HEADER]) -> bool {
    bytes.starts_with(MAGIC) && bytes[4] > VERSION
}

/// Returns `true` if a file is exactly the one that was written under `key`.
pub(super) fn is_whole(key: &RecordKey, header: &[u8; HEADER], record: &[u8]) -> bool {
    header[24..32] == (record.len() as u64).to_be_bytes()
        && header[CHECK..] == hash(key, &header[..CHECK], record)[..HEADER - CHECK]
}

/// Returns `true` if a header is exactly the one that was written under `key`. Does not check the record.
pub(super) fn is_genuine(key: &RecordKey, header: &[u8; HEADER]) -> bool {
    let check = hash(key, &header[..HEADER_CHECK], &[]);
    header[HEADER_CHECK..CHECK] == check[..CHECK - HEADER_CHECK]
}

/// Returns the hash whose first bytes are the checksum.
fn hash(key: &RecordKey, front: &[u8], record: &[u8]) -> [u8; 32] {
    let hash = Sha256::new().chain_update(key.as_bytes()).chain_update(front);
    hash.chain_update(record).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::hex;

    const KEY: RecordKey = RecordKey::from_bytes([9; 32]);

    fn headers() -> Vec<Header> {
        let key = RecordKey::from_bytes([7; 32]);
        let kinds = [
            Kind::Record { rotated_from: None },
            Kind::Record { rotated_from: Some(key) },
            Kind::Tombstone { successor: None },
            Kind::Tombstone { successor: Some(key) },
            Kind::Replaced { by: Some(key) },
        ];
        let header = |kind| Header {
            kind,
            expires: Timestamp::from_millis(1_735_689_600_000),
            revision: Revision(9),
            owner: Some(OwnerKey::of("user-42")),
        };
        kinds.into_iter().map(header).collect()
    }

    fn read(bytes: &[u8]) -> Option<(Header, Vec<u8>)> {
        let (front, record) = bytes.split_first_chunk::<HEADER>()?;
        is_whole(&KEY, front, record).then_some((decode(front)?, record.to_vec()))
    }

    #[test]
    fn a_header_survives_its_bytes() {
        for header in headers() {
            let bytes = encode(&KEY, &header, b"values");
            assert_eq!(read(&bytes), Some((header, b"values".to_vec())));
            let front = bytes.first_chunk().unwrap();
            assert!(is_genuine(&KEY, front));
            assert!(!is_genuine(&RecordKey::from_bytes([8; 32]), front));
        }
    }

    /// The vector was computed from the description above by another program.
    #[test]
    fn the_bytes_are_those_of_version_1() {
        let owner = Some(OwnerKey::from_bytes([5; 32]));
        let bytes = encode(&KEY, &Header { owner, ..headers()[1].clone() }, b"values");
        let numbers = "434c4b5201010000000001941f297c0000000000000000090000000000000006";
        let keys = "07".repeat(32) + &"05".repeat(32);
        let checks = "5a2576b4d10996f5f291a67615056fd12c6566f6524ba7d7677a3c28679ad343";
        assert_eq!(hex(&bytes), format!("{numbers}{keys}{checks}76616c756573"));
    }

    #[test]
    fn a_file_of_another_key_is_none() {
        let bytes = encode(&RecordKey::from_bytes([8; 32]), &headers()[0], b"values");
        assert_eq!(read(&bytes), None);
    }

    #[test]
    fn a_file_that_is_cut_short_prolonged_or_flipped_anywhere_is_none() {
        let bytes = encode(&KEY, &headers()[1], b"some values");
        for length in 0..bytes.len() {
            assert_eq!(read(&bytes[..length]), None, "cut at {length}");
        }
        assert_eq!(read(&[bytes.as_slice(), b"x"].concat()), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&flipped), None, "bit {bit}");
        }
    }
}
