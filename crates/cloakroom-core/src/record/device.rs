//! The device that a session is bound to.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytestring::ByteString;
use cloakroom_store::clock::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    crypto::{device_proof::DeviceKey, random::fill_from_system},
    error::Error,
    record::{
        owner::{read_base64, write_base64},
        timestamp,
    },
    values::{each_member, encode},
};

/// A device, as the record of its session has it.
#[derive(Clone, Debug)]
pub(crate) struct BoundDevice {
    /// Names the binding towards the browser (`session_identifier`).
    pub(crate) id: DeviceId,
    /// The moment of the registration, in milliseconds since the Unix epoch.
    pub(crate) since: Timestamp,
    /// All members as the record has them. The key is parsed when it is needed, because most requests need the
    /// id and the moment alone.
    text: ByteString,
}

impl BoundDevice {
    pub(crate) fn new(key: &DeviceKey, since: Timestamp) -> Result<Self, Error> {
        #[derive(Serialize)]
        struct Members<'k> {
            id: DeviceId,
            since: Timestamp,
            key: &'k DeviceKey,
        }
        let mut id = [0; 16];
        fill_from_system(&mut id);
        let id = DeviceId(id);
        let text = encode("session", &Members { id, since, key })?;
        Ok(Self { id, since, text })
    }

    /// Reads a device from its JSON in a record.
    pub(super) fn parse(text: ByteString) -> Option<Self> {
        let (mut id, mut since) = (None, None);
        each_member(&text, |name, value| {
            match &*name {
                "id" => id = Some(serde_json::from_str(value).ok()?),
                "since" => since = Some(timestamp(value)?),
                _ => (),
            }
            Some(())
        })?;
        Some(Self { id: id?, since: since?, text })
    }

    /// Returns the JSON of a record.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the public key. Returns `None` if the record has none that can be used.
    pub(crate) fn key(&self) -> Option<DeviceKey> {
        #[derive(Deserialize)]
        struct Members {
            key: DeviceKey,
        }
        serde_json::from_str(&self.text).ok().map(|Members { key }| key)
    }
}

/// The random id of a binding. It is no secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceId([u8; 16]);

impl DeviceId {
    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Writes the id in base64url, as the browser gets it.
impl std::fmt::Display for DeviceId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl Serialize for DeviceId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        write_base64(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        read_base64(deserializer).map(Self)
    }
}
