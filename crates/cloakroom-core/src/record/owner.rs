//! The owner of a session.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use cloakroom_store::{OwnerKey, RecordKey, clock::Timestamp};

use crate::crypto::random::fill_from_system;

/// The owner of a session, as its record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) name: Box<str>,
    /// When the session became theirs.
    pub(crate) since: Timestamp,
    pub(crate) id: SessionId,
}

impl Owner {
    /// Makes the owner of a session whose keys have this tag.
    pub(crate) fn new(name: &str, since: Timestamp, tag: Tag) -> Self {
        Self { name: name.into(), since, id: SessionId::draw(tag) }
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
        serializer.serialize_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for SessionId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        let bytes = URL_SAFE_NO_PAD.decode(&*text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| D::Error::custom("22 characters of base64url"))
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
