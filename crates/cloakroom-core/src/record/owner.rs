//! The owner of a session.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, Unexpected, Visitor},
    ser::Error as _,
};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use cloakroom_store::{OwnerKey, RecordKey, clock::Timestamp};

use crate::crypto::random::fill_from_system;

/// The owner of a session, as its record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) name: Box<str>,
    /// When the session became theirs.
    pub(crate) since: Timestamp,
    pub(crate) id: SessionId,
    /// How strongly they have proved who they are. The application gives the levels their meaning.
    #[serde(default, skip_serializing_if = "is_lowest")]
    pub(crate) level: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) stamp: Option<OwnerStamp>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_lowest(level: &u8) -> bool {
    *level == 0
}

impl Owner {
    /// Makes the owner of a session whose keys have this tag.
    pub(crate) fn new(name: &str, since: Timestamp, tag: Tag) -> Self {
        Self { name: name.into(), since, id: SessionId::draw(tag), level: 0, stamp: None }
    }

    pub(crate) fn key(&self) -> OwnerKey {
        OwnerKey::of(&self.name)
    }

    /// Returns whether a session that had the owner `had` gets another one.
    pub(crate) fn is_other_than(&self, had: Option<&Self>) -> bool {
        had.is_none_or(|had| had.name != self.name)
    }

    /// Returns this owner for a session that had the owner `had`. A session that keeps its owner keeps
    /// its id.
    pub(crate) fn after(&self, had: Option<&Self>) -> Self {
        let id = had.filter(|had| had.name == self.name).map_or(self.id, |had| had.id);
        Self { id, ..self.clone() }
    }
}

/// A hash of what an application changes to end all sessions of an owner, such as the hash of the
/// password. The record has only this hash, from which the original cannot be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnerStamp([u8; 16]);

impl OwnerStamp {
    pub(crate) fn of(original: &[u8]) -> Self {
        let hash: [u8; 32] = Sha256::digest(original).into();
        Self(*hash.first_chunk().unwrap_or(&[0; 16]))
    }

    /// Returns whether this is the stamp of `original`. Takes the same time for every answer.
    pub(crate) fn is_of(&self, original: &[u8]) -> bool {
        self.0.ct_eq(&Self::of(original).0).into()
    }
}

impl Serialize for OwnerStamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_base64(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for OwnerStamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_base64(deserializer).map(Self)
    }
}

/// The bytes that all record keys of a session share.
pub(crate) type Tag = [u8; RecordKey::TAG_BYTES];

/// Names a session in the list of its owner, whatever its token is. The first bytes are the tag of
/// the session's keys, by which an index finds it without a search. The others are random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId([u8; 16]);

impl SessionId {
    fn draw(tag: Tag) -> Self {
        let mut bytes = [0; 16];
        fill_from_system(&mut bytes);
        bytes[..tag.len()].copy_from_slice(&tag);
        Self(bytes)
    }

    pub(crate) const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Returns the tag that the keys of the session have.
    pub(crate) fn tag(self) -> Tag {
        [self.0[0], self.0[1]]
    }
}

impl Serialize for SessionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_base64(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_base64(deserializer).map(Self)
    }
}

pub(super) fn write_base64<S: Serializer>(
    bytes: &[u8; 16],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    let mut text = [0; 22];
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).map_err(S::Error::custom)?;
    serializer.serialize_str(str::from_utf8(&text[..written]).map_err(S::Error::custom)?)
}

pub(super) fn read_base64<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<[u8; 16], D::Error> {
    deserializer.deserialize_str(Base64)
}

/// Reads 16 bytes without a copy of their text.
struct Base64;

impl Visitor<'_> for Base64 {
    type Value = [u8; 16];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("22 characters of base64url")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        let mut bytes = [0; 16];
        match URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) {
            Ok(16) => Ok(bytes),
            _ => Err(E::invalid_value(Unexpected::Str(text), &self)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_a_session_has_the_tag_of_its_keys_and_survives_its_text() {
        let id = Owner::new("user-42", Timestamp::from_millis(0), [7, 8]).id;
        assert_eq!(id.tag(), [7, 8]);
        let text = serde_json::to_string(&id).unwrap();
        assert_eq!(serde_json::from_str::<SessionId>(&text).unwrap(), id);
        assert!(serde_json::from_str::<SessionId>("\"AAAA\"").is_err());
    }
}
