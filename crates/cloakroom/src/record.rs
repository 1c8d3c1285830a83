//! What a driver keeps of a session, and how it is written.
//!
//! # Format, version 1
//! One JSON object in UTF-8. Members that are empty are left out.
//! ```text
//! {"v":1,
//!  "created":1735689600000,             moment of the first commit, in ms since the Unix epoch
//!  "until":1735776000000,               absolute deadline, in ms; absent: none
//!  "age":2592000000,                    idle timeout of its own, in ms; absent: as set
//!  "owner":{"name":"user-42",           whose session it is; absent: nobody's
//!           "since":1735689600000,      moment of `set_owner`
//!           "id":"3q2-7w…"},            16 random bytes that name the session in its owner's list
//!  "label":"Firefox on Linux",          what the application says of the device
//!  "values":{"username":"virk"},
//!  "flash":[{"id":3735928559,           one batch per request that flashed
//!            "bags":{"messages":{"notice":"saved"},
//!                    "input":{"email":"v@example.org"},
//!                    "errors":{"email":["is taken"]}}}]}
//! ```
//! The idle deadline is not in here: stores keep it beside the record, so that a touch need not
//! write the record, and the cookie driver seals it in front of the record.

use serde::{Deserialize, Serialize};

use crate::{
    clock::Timestamp,
    error::{Error, Kind},
    flash::Flash,
    owner::Owner,
    values::Values,
};

const VERSION: u8 = 1;

/// A session's contents.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Record {
    v: u8,
    pub(crate) created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) age: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) owner: Option<Owner>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) label: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Values::is_empty")]
    pub(crate) values: Values,
    #[serde(default, skip_serializing_if = "Flash::is_empty")]
    pub(crate) flash: Flash,
}

impl Record {
    pub(crate) fn new(created: Timestamp, until: Option<Timestamp>) -> Self {
        Self {
            v: VERSION,
            created,
            until,
            age: None,
            owner: None,
            label: None,
            values: Values::default(),
            flash: Flash::default(),
        }
    }

    /// Whether there is nothing in it that would be worth keeping.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.flash.is_empty() && self.owner.is_none()
    }

    /// Returns the JSON text.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let encoded = serde_json::to_vec(self);
        encoded.map_err(|cause| Kind::Encode { key: "session".to_owned(), cause }.into())
    }

    /// Reads a record; nothing where the bytes are not a record of this version.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (record.v == VERSION).then_some(record)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOLDEN: &str = r#"{"v":1,"created":1735689600000,"until":1735776000000,"age":2592000000,"owner":{"name":"user-42","since":1735689600000,"id":"AAECAwQFBgcICQoLDA0ODw"},"label":"Firefox on Linux","values":{"username":"virk"},"flash":[{"id":3735928559,"bags":{"messages":{"notice":"saved"},"input":{"email":"v@example.org"},"errors":{"email":["is taken"]}}}]}"#;

    #[test]
    fn the_golden_record_reads_and_writes_unchanged() {
        let record = Record::decode(GOLDEN.as_bytes()).unwrap();
        assert_eq!(record.encode().unwrap(), GOLDEN.as_bytes());
    }

    #[test]
    fn a_record_of_another_version_or_cut_short_is_no_record() {
        assert!(Record::decode(GOLDEN.replace("\"v\":1", "\"v\":2").as_bytes()).is_none());
        for cut in 0..GOLDEN.len() {
            assert!(Record::decode(&GOLDEN.as_bytes()[..cut]).is_none(), "cut at {cut}");
        }
    }

    // Requirement 40: depth costs nothing until someone asks, and then it is refused.
    #[test]
    fn a_hundred_thousand_nested_lists_are_carried_and_not_parsed() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let record = Record::decode(
            format!(r#"{{"v":1,"created":0,"values":{{"deep":{deep}}}}}"#).as_bytes(),
        );
        let record = record.unwrap();
        assert!(record.values.get::<serde_json::Value>("deep").unwrap_err().is_decode());
        println!("depth 100000: carried, refused on reading");
    }
}
