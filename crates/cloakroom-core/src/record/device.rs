//! The device that a session is bound to.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use cloakroom_store::clock::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    crypto::{device_proof::DeviceKey, random::fill_from_system},
    record::owner::{read_base64, write_base64},
};

/// A device, as the record of its session has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BoundDevice {
    /// Names the binding towards the browser (`session_identifier`).
    pub(crate) id: DeviceId,
    /// The moment of the registration, in milliseconds since the Unix epoch.
    pub(crate) since: Timestamp,
    pub(crate) key: DeviceKey,
}

impl BoundDevice {
    pub(crate) fn new(key: DeviceKey, since: Timestamp) -> Self {
        let mut id = [0; 16];
        fill_from_system(&mut id);
        Self { id: DeviceId(id), since, key }
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
