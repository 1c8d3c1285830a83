//! The record of a session, and its format.
//!
//! # Format, version 1
//! One JSON object in UTF-8. Members that are empty are left out.
//! ```text
//! {"v":1,
//!  "app":"3q2-796tvu8",                 tag of the application: 8 bytes in base64url; absent in cookies
//!  "created":1735689600000,             moment of the first commit, in ms since the Unix epoch
//!  "absolute_deadline":1735776000000,   absolute deadline, in ms since the Unix epoch; absent: none
//!  "idle_timeout":2592000000,           idle timeout of this session, in ms; absent: the default
//!  "browser_session":true,              whether its cookie ends with the browser; absent: the default
//!  "owner":{"name":"user-42",           owner; absent: none
//!           "since":1735689600000,      moment of the sign-in, in ms since the Unix epoch
//!           "id":"3q2-7w…",             16 bytes that identify the session in the owner's list: the
//!                                       tag of its keys and 14 random bytes
//!           "level":2,                  authentication level, 0 to 255; absent: 0
//!           "stamp":"lFDk-A…"},         the first 16 bytes of the SHA-256 of the owner's stamp, in
//!                                       base64url; absent: none
//!  "device":{"id":"3q2-7w…",          16 random bytes that name the binding to the device
//!            "since":1735689600000,     moment of its registration, in ms since the Unix epoch
//!            "key":{"alg":"ES256",      the device's public key: the algorithm, and in base64url
//!                   "public":"A-v…"}},  the compressed point (ES256) or the modulus (RS256)
//!  "label":"Firefox on Linux",          the application's description of the device
//!  "values":{"username":"virk"},
//!  "value_deadlines":[{"key":"code",    values that end before the session, by their keys;
//!           "literal":true,             dots and brackets in the key are ordinary letters; absent:
//!                                       they descend
//!           "at":1735689660000}],       moment of the end, in ms since the Unix epoch
//!  "flash":[{"id":3735928559,           one batch per request that flashed
//!            "bags":{"messages":{"notice":"saved"},
//!                    "pushed":[{"level":"success","text":"saved"}],
//!                    "input":{"email":"v@example.org"},
//!                    "errors":{"email":["is taken"]},
//!                    "form_errors":{"login":{"email":["is wrong"]}}}}]}
//! ```
//! A store can have the text [sealed](sealed).
//!
//! The idle deadline is outside of the record. Stores keep it beside the record, because a touch then
//! writes the deadline alone. The cookie driver seals it in front of the record.

pub(crate) mod change;
pub(crate) mod copy;
pub(crate) mod device;
pub(crate) mod flash;
pub(crate) mod handle;
pub(crate) mod lifetimes;
pub(crate) mod message;
pub(crate) mod owner;
pub(crate) mod sealed;
pub(crate) mod sign_in;
mod value_deadlines;

use bytes::Bytes;
use bytestring::ByteString;
use serde::Serialize;

use crate::{
    crypto::app_tag::{AppTags, TagKey},
    error::{Error, Kind},
    record::{
        device::BoundDevice,
        flash::{Bags, Batch, BatchId, Flash},
        owner::Owner,
        value_deadlines::ValueDeadline,
    },
    values::{Values, each_entry, each_member, reserved::PREVIOUS_URL, write_string},
};
use cloakroom_store::clock::Timestamp;

const VERSION: u8 = 1;

/// The members that most records of stores have around their values. Its length estimates the
/// capacity of the text.
const ENVELOPE: &str = r#"{"v":1,"app":"3q2-796tvu8","created":1735689600000,"values":}"#;
const ABSOLUTE_DEADLINE: &str = r#","absolute_deadline":1735776000000"#;

/// The reason why stored bytes are not a record of this application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRecord {
    /// The bytes are damaged, or have another version.
    Unreadable,
    /// The record has the tag of another application, or none, or is sealed by an unknown key.
    Foreign,
}

/// The contents of a session.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) created: Timestamp,
    pub(crate) absolute_deadline: Option<Timestamp>,
    pub(crate) idle_timeout: Option<u64>,
    pub(crate) browser_session: Option<bool>,
    pub(crate) owner: Option<Owner>,
    /// In a box, because few sessions have one.
    pub(crate) device: Option<Box<BoundDevice>>,
    pub(crate) label: Option<Box<str>>,
    pub(crate) values: Values,
    value_deadlines: Vec<ValueDeadline>,
    pub(crate) flash: Flash,
    /// The key whose tag was in the record when it was read.
    pub(crate) tag_key: TagKey,
}

impl Record {
    pub(crate) fn new(created: Timestamp, absolute_deadline: Option<Timestamp>) -> Self {
        Self {
            created,
            absolute_deadline,
            idle_timeout: None,
            browser_session: None,
            owner: None,
            device: None,
            label: None,
            values: Values::default(),
            value_deadlines: Vec::new(),
            flash: Flash::default(),
            tag_key: TagKey::Newest,
        }
    }

    /// Removes the URL of the last page that was shown. Returns whether there was one.
    pub(crate) fn forget_previous_url(&mut self) -> bool {
        let has_one = self.values.member(PREVIOUS_URL).is_some();
        self.values.retain(|name| name != PREVIOUS_URL);
        has_one
    }

    /// Returns whether the record has neither values nor flash nor an owner.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.flash.is_empty() && self.owner.is_none()
    }

    /// Returns the JSON text. With `apps`, the text has the tag of the application, as in a store.
    pub(crate) fn encode(&self, apps: Option<&AppTags>) -> Result<String, Error> {
        let deadline = self.absolute_deadline.map_or(0, |_| ABSOLUTE_DEADLINE.len());
        let length = ENVELOPE.len() + deadline + self.values.size_hint();
        let mut text = Text(String::with_capacity(length));
        text.number("{\"v\":", VERSION.into());
        if let Some(apps) = apps {
            text.push(",\"app\":");
            text.push(apps.written());
        }
        text.number(",\"created\":", self.created.as_millis());
        if let Some(deadline) = self.absolute_deadline {
            text.number(",\"absolute_deadline\":", deadline.as_millis());
        }
        if let Some(idle) = self.idle_timeout {
            text.number(",\"idle_timeout\":", idle);
        }
        if let Some(ends) = self.browser_session {
            text.push(if ends {
                ",\"browser_session\":true"
            } else {
                ",\"browser_session\":false"
            });
        }
        if let Some(owner) = &self.owner {
            text.serialized(",\"owner\":", owner)?;
        }
        if let Some(device) = &self.device {
            text.push(",\"device\":");
            text.push(device.text());
        }
        if let Some(label) = &self.label {
            text.push(",\"label\":");
            write_string(&mut text.0, label);
        }
        text.values(",\"values\":", &self.values);
        if !self.value_deadlines.is_empty() {
            text.serialized(",\"value_deadlines\":", &self.value_deadlines)?;
        }
        if !self.flash.is_empty() {
            text.flash(",\"flash\":", &self.flash)?;
        }
        text.push("}");
        // With spare capacity, `Bytes` would allocate once more when it is shared.
        text.0.shrink_to_fit();
        Ok(text.0)
    }

    /// Reads a record of any application, or one from a cookie. Returns `None` if the bytes are not a
    /// record of this version.
    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        Self::read(bytes, |_| Some(TagKey::Newest)).ok()
    }

    /// Reads a record from a store. Fails unless its tag is one of `apps`.
    pub(crate) fn decode_of(bytes: &Bytes, apps: &AppTags) -> Result<Self, NoRecord> {
        Self::read(bytes, |tag| apps.find(tag))
    }

    /// Reads a record. `find` gets the tag as JSON, or `None` if there is none, and returns the key
    /// that the tag belongs to. Without a key the record is foreign.
    fn read(
        bytes: &Bytes,
        find: impl Fn(Option<&str>) -> Option<TagKey>,
    ) -> Result<Self, NoRecord> {
        let mut found = None;
        let record = Self::parse(bytes, |tag| *found.insert(find(Some(tag))));
        match (record, found) {
            (_, Some(None)) => Err(NoRecord::Foreign),
            (Some(_), None) if find(None).is_none() => Err(NoRecord::Foreign),
            (Some(record), _) => Ok(record),
            (None, _) => Err(NoRecord::Unreadable),
        }
    }

    /// Parses a record. Stops early at a tag for which `find` returns no key.
    fn parse(bytes: &Bytes, mut find: impl FnMut(&str) -> Option<TagKey>) -> Option<Self> {
        let text = ByteString::try_from(bytes.clone()).ok()?;
        let mut record = Self::new(Timestamp::from_millis(0), None);
        let (mut version, mut created) = (None::<u8>, None);
        each_member(&text, |name, value| {
            match &*name {
                "v" => version = Some(value.parse().ok()?),
                "app" => record.tag_key = find(value)?,
                "created" => created = Some(timestamp(value)?),
                "absolute_deadline" => record.absolute_deadline = Some(timestamp(value)?),
                "idle_timeout" => record.idle_timeout = Some(value.parse().ok()?),
                "browser_session" => record.browser_session = Some(value.parse().ok()?),
                "owner" => record.owner = Some(serde_json::from_str(value).ok()?),
                "device" => record.device = Some(BoundDevice::parse(text.slice_ref(value))?.into()),
                "label" => record.label = Some(serde_json::from_str(value).ok()?),
                "values" => record.values = Values::parse(text.slice_ref(value))?,
                "value_deadlines" => record.value_deadlines = serde_json::from_str(value).ok()?,
                "flash" => {
                    each_entry(value, |batch| {
                        record.flash.push(read_batch(batch, &text)?);
                        Some(())
                    })?;
                }
                // An unknown member may be a deadline of a later version, so ignoring it is unsafe.
                _ => return None,
            }
            Some(())
        })?;
        record.created = created?;
        (version? == VERSION).then_some(record)
    }
}

fn timestamp(text: &str) -> Option<Timestamp> {
    text.parse().ok().map(Timestamp::from_millis)
}

/// Reads the batch whose JSON is the slice `batch` of `text`.
fn read_batch(batch: &str, text: &ByteString) -> Option<Batch> {
    let (mut id, mut bags) = (None, Bags::default());
    each_member(batch, |name, value| {
        match &*name {
            "id" => id = Some(BatchId(value.parse().ok()?)),
            "bags" => each_member(value, |name, value| {
                match &*name {
                    "messages" => bags.messages = Values::parse(text.slice_ref(value))?,
                    "pushed" => bags.pushed = serde_json::from_str(value).ok()?,
                    "input" => bags.input = Values::parse(text.slice_ref(value))?,
                    "errors" => bags.errors = serde_json::from_str(value).ok()?,
                    "form_errors" => bags.form_errors = serde_json::from_str(value).ok()?,
                    _ => (),
                }
                Some(())
            })?,
            _ => (),
        }
        Some(())
    })?;
    Some(Batch { id: id?, bags })
}

/// The text of a record that is being written. Each function writes one member. `name` includes the
/// member's punctuation.
struct Text(String);

impl Text {
    fn push(&mut self, text: &str) {
        self.0.push_str(text);
    }

    fn number(&mut self, name: &str, number: u64) {
        self.push(name);
        self.push(itoa::Buffer::new().format(number));
    }

    fn serialized<T: Serialize>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        let written = serde_json::to_string(value);
        let encode = |cause| Error::from(Kind::Encode { key: "session".to_owned(), cause });
        self.push(name);
        self.push(&written.map_err(encode)?);
        Ok(())
    }

    fn values(&mut self, name: &str, values: &Values) {
        if !values.is_empty() {
            self.push(name);
            values.write(&mut self.0);
        }
    }

    fn flash(&mut self, name: &str, flash: &Flash) -> Result<(), Error> {
        self.push(name);
        let mut separator = "[";
        for Batch { id, bags } in flash.batches() {
            self.push(separator);
            self.number("{\"id\":", id.0.into());
            self.push(",\"bags\":");
            self.bags(bags)?;
            self.push("}");
            separator = ",";
        }
        self.push("]");
        Ok(())
    }

    fn bags(&mut self, bags: &Bags) -> Result<(), Error> {
        self.push("{");
        let first = self.0.len();
        self.values(",\"messages\":", &bags.messages);
        if !bags.pushed.is_empty() {
            self.serialized(",\"pushed\":", &bags.pushed)?;
        }
        self.values(",\"input\":", &bags.input);
        if !bags.errors.is_empty() {
            self.serialized(",\"errors\":", &bags.errors)?;
        }
        if !bags.form_errors.is_empty() {
            self.serialized(",\"form_errors\":", &bags.form_errors)?;
        }
        if self.0.len() > first {
            // The first member has no comma before it.
            self.0.remove(first);
        }
        self.push("}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{app_keys::AppKeys, app_tag::Scope};
    use cloakroom_store::{RecordKey, Revision, StoredRecord};

    const GOLDEN: &str = r#"{"v":1,"app":TAG,"created":1735689600000,"absolute_deadline":1735776000000,"idle_timeout":2592000000,"browser_session":true,"owner":{"name":"user-42","since":1735689600000,"id":"AAECAwQFBgcICQoLDA0ODw","level":2,"stamp":"47DEQpj8HBSa-_TImW-5JA"},"device":{"id":"AAECAwQFBgcICQoLDA0ODw","since":1735689600000,"key":{"alg":"ES256","public":"A-v-Btr6ENKq6DIejpQxQkhUv0iY4kItT0773wToRmdx"}},"label":"Firefox on Linux","values":{"username":"virk","code":7},"value_deadlines":[{"key":"code","at":1735689660000}],"flash":[{"id":3735928559,"bags":{"messages":{"notice":"saved"},"pushed":[{"level":"success","text":"saved"}],"input":{"email":"v@example.org"},"errors":{"email":["is taken"]},"form_errors":{"login":{"email":["is wrong"]}}}}]}"#;

    fn decode(text: &str) -> Option<Record> {
        Record::decode(&Bytes::copy_from_slice(text.as_bytes()))
    }

    /// The golden record with the tag of this application.
    fn golden(apps: &AppTags) -> Bytes {
        GOLDEN.replace("TAG", apps.written()).into()
    }

    fn tags() -> AppTags {
        AppTags::new(&AppKeys::random(), Scope::Own)
    }

    #[test]
    fn the_golden_record_reads_and_writes_unchanged() {
        let apps = tags();
        let record = Record::decode_of(&golden(&apps), &apps).unwrap();
        assert_eq!(record.encode(Some(&apps)).unwrap(), golden(&apps));
        let in_cookie = GOLDEN.replace("\"app\":TAG,", "");
        assert_eq!(record.encode(None).unwrap(), in_cookie);
        assert!(decode(&in_cookie).is_some());
    }

    #[test]
    fn a_record_of_another_application_is_refused_and_copied() {
        let (apps, others) = (tags(), tags());
        let refused = |bytes: &Bytes| Record::decode_of(bytes, &apps).unwrap_err();
        assert_eq!(refused(&golden(&others)), NoRecord::Foreign);
        let untagged = Bytes::from(GOLDEN.replace("\"app\":TAG,", ""));
        assert_eq!(refused(&untagged), NoRecord::Foreign);
        assert_eq!(refused(&golden(&apps).slice(1..)), NoRecord::Unreadable);
        let stored = StoredRecord::new(golden(&others), Revision(1), Timestamp::from_millis(0));
        let copy = copy::copy_record(
            &RecordKey::from_bytes([0; 32]),
            &stored,
            std::time::Duration::from_secs(1),
            None,
        )
        .unwrap();
        assert_eq!(copy.bytes, stored.bytes);
    }

    #[test]
    fn a_truncated_record_or_another_version_is_refused() {
        let apps = tags();
        let golden = String::from_utf8(golden(&apps).to_vec()).unwrap();
        assert!(decode(&golden.replace("\"v\":1", "\"v\":2")).is_none());
        for cut in 0..golden.len() {
            assert!(decode(&golden[..cut]).is_none(), "cut at {cut}");
        }
    }

    // Loading a session must not parse its values, because a deep value would exhaust the stack.
    #[test]
    fn deeply_nested_values_are_loaded_without_being_parsed() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let record =
            decode(&format!(r#"{{"v":1,"created":0,"values":{{"deep":{deep}}}}}"#)).unwrap();
        assert!(record.values.get::<serde_json::Value>("deep".into()).unwrap_err().is_decode());
    }
}
