//! Whose session it is.

use std::fmt;

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
    /// `tag` is that of the session's keys.
    pub(crate) fn new(name: &str, since: Timestamp, tag: Tag) -> Self {
        Self { name: name.into(), since, id: SessionId::draw(tag) }
    }

    pub(crate) fn key(&self) -> OwnerKey {
        OwnerKey::of(&self.name)
    }

    pub(crate) fn handle(&self) -> Handle {
        Handle { owner: self.key(), id: self.id }
    }
}

/// What all record keys of a session have in common.
pub(crate) type Tag = [u8; RecordKey::TAG_BYTES];

/// Names a session in its owner's list, whatever its token is at the time. Begins with the tag of the
/// session's keys, so that the list need not be searched for it; the rest is random.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SessionId([u8; 16]);

impl SessionId {
    fn draw(tag: Tag) -> Self {
        let mut bytes = [0; 16];
        fill_from_system(&mut bytes);
        bytes[..tag.len()].copy_from_slice(&tag);
        Self(bytes)
    }

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
        decode(&text).map(Self).ok_or_else(|| D::Error::custom("22 characters of base64url"))
    }
}

/// A session as pages and commands may name it: leads to the session, signs nobody in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) owner: OwnerKey,
    pub(crate) id: SessionId,
}

impl Handle {
    /// Reads what [`fmt::Display`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes: [u8; 48] = decode(text)?;
        let (owner, id) = bytes.split_first_chunk()?;
        Some(Self { owner: OwnerKey::from_bytes(*owner), id: SessionId(id.try_into().ok()?) })
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode([&self.owner.as_bytes()[..], &self.id.0].concat()))
    }
}

fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_survives_its_text_and_nothing_else_is_one() {
        let handle = Owner::new("user-42", Timestamp::from_millis(0), [7, 8]).handle();
        assert_eq!(handle.id.tag(), [7, 8]);
        let text = handle.to_string();
        assert_eq!(text.len(), 64);
        assert_eq!(Handle::parse(&text), Some(handle));
        for bad in ["", "A", &text[1..], &format!("{text}A"), &text.replace(&text[..1], "=")] {
            assert_eq!(Handle::parse(bad), None, "{bad}");
        }
    }
}
