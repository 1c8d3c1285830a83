//! What a driver keeps of a session, and how it is written.
//!
//! # Format, version 1
//! One JSON object in UTF-8. Members that are empty are left out.
//! ```text
//! {"v":1,
//!  "app":"3q2-796tvu8",                 whose application's it is: 8 bytes in base64url; not in cookies
//!  "created":1735689600000,             moment of the first commit, in ms since the Unix epoch
//!  "absolute_deadline":1735776000000,               absolute deadline, in ms; absent: none
//!  "idle_timeout":2592000000,                    idle timeout of its own, in ms; absent: as set
//!  "owner":{"name":"user-42",           whose session it is; absent: nobody's
//!           "since":1735689600000,      moment of `set_owner`
//!           "id":"3q2-7w…"},            16 bytes that name the session in its owner's list: the tag
//!                                       of its keys and 14 random ones
//!  "label":"Firefox on Linux",          what the application says of the device
//!  "values":{"username":"virk"},
//!  "flash":[{"id":3735928559,           one batch per request that flashed
//!            "bags":{"messages":{"notice":"saved"},
//!                    "input":{"email":"v@example.org"},
//!                    "errors":{"email":["is taken"]}}}]}
//! ```
//! The idle deadline is not in here: stores keep it beside the record, so that a touch need not
//! write the record, and the cookie driver seals it in front of the record.

pub(crate) mod change;
pub(crate) mod copy;
pub(crate) mod flash;
pub(crate) mod handle;
pub(crate) mod lifetimes;
pub(crate) mod owner;

use bytes::Bytes;
use bytestring::ByteString;
use serde::Serialize;

use crate::{
    crypto::app_tag::{AppTags, TagKey},
    error::{Error, Kind},
    record::{
        flash::{Bags, Batch, BatchId, Flash},
        owner::Owner,
    },
    values::{Values, each_entry, each_member, write_string},
};
use cloakroom_store::clock::Timestamp;

const VERSION: u8 = 1;

/// What most records of stores have around their values, in figures of the right length.
const ENVELOPE: &str = r#"{"v":1,"app":"3q2-796tvu8","created":1735689600000,"values":}"#;
const ABSOLUTE_DEADLINE: &str = r#","absolute_deadline":1735776000000"#;

/// Why bytes of a store are no record of this application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoRecord {
    /// They are damaged, or of another version.
    Unreadable,
    /// They have the tag of another application, or none.
    Foreign,
}

/// A session's contents.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) created: Timestamp,
    pub(crate) absolute_deadline: Option<Timestamp>,
    pub(crate) idle_timeout: Option<u64>,
    pub(crate) owner: Option<Owner>,
    pub(crate) label: Option<Box<str>>,
    pub(crate) values: Values,
    pub(crate) flash: Flash,
    /// Which key the tag belongs to that it was read with.
    pub(crate) tag_key: TagKey,
}

impl Record {
    pub(crate) fn new(created: Timestamp, absolute_deadline: Option<Timestamp>) -> Self {
        Self {
            created,
            absolute_deadline,
            idle_timeout: None,
            owner: None,
            label: None,
            values: Values::default(),
            flash: Flash::default(),
            tag_key: TagKey::Newest,
        }
    }

    /// Whether there is nothing in it that would be worth keeping.
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty() && self.flash.is_empty() && self.owner.is_none()
    }

    /// Returns the JSON text. A store's record has the tag of `apps`.
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
        if let Some(owner) = &self.owner {
            text.serialized(",\"owner\":", owner)?;
        }
        if let Some(label) = &self.label {
            text.push(",\"label\":");
            write_string(&mut text.0, label);
        }
        text.values(",\"values\":", &self.values);
        if !self.flash.is_empty() {
            text.flash(",\"flash\":", &self.flash)?;
        }
        text.push("}");
        // Stores keep what they are given, and room to spare costs an allocation once it is shared.
        text.0.shrink_to_fit();
        Ok(text.0)
    }

    /// Reads a record of any application, or of a cookie. Returns `None` if the bytes are no record of
    /// this version.
    pub(crate) fn decode(bytes: &Bytes) -> Option<Self> {
        Self::read(bytes, |_| Some(TagKey::Newest)).ok()
    }

    /// Reads a record of a store, if its tag is one of `apps`.
    pub(crate) fn decode_of(bytes: &Bytes, apps: &AppTags) -> Result<Self, NoRecord> {
        Self::read(bytes, |tag| apps.find(tag))
    }

    /// Reads a record, if `find` finds the key of its tag, which is JSON.
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

    /// Stops at a tag whose key is not found.
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
                "owner" => record.owner = Some(serde_json::from_str(value).ok()?),
                "label" => record.label = Some(serde_json::from_str(value).ok()?),
                "values" => record.values = Values::parse(text.slice_ref(value))?,
                "flash" => {
                    each_entry(value, |batch| {
                        record.flash.push(read_batch(batch, &text)?);
                        Some(())
                    })?;
                }
                // It may be a deadline, so the record must not be read without it.
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

/// Reads a batch that stands at `batch` in `text`.
fn read_batch(batch: &str, text: &ByteString) -> Option<Batch> {
    let (mut id, mut bags) = (None, Bags::default());
    each_member(batch, |name, value| {
        match &*name {
            "id" => id = Some(BatchId(value.parse().ok()?)),
            "bags" => each_member(value, |name, value| {
                match &*name {
                    "messages" => bags.messages = Values::parse(text.slice_ref(value))?,
                    "input" => bags.input = Values::parse(text.slice_ref(value))?,
                    "errors" => bags.errors = serde_json::from_str(value).ok()?,
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

/// A record as it is written. Each function writes a member: `name` is its punctuation as well.
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
        self.values(",\"input\":", &bags.input);
        if !bags.errors.is_empty() {
            self.serialized(",\"errors\":", &bags.errors)?;
        }
        if self.0.len() > first {
            // No comma stands before the first member.
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
    use cloakroom_store::{Revision, StoredRecord};

    const GOLDEN: &str = r#"{"v":1,"app":TAG,"created":1735689600000,"absolute_deadline":1735776000000,"idle_timeout":2592000000,"owner":{"name":"user-42","since":1735689600000,"id":"AAECAwQFBgcICQoLDA0ODw"},"label":"Firefox on Linux","values":{"username":"virk"},"flash":[{"id":3735928559,"bags":{"messages":{"notice":"saved"},"input":{"email":"v@example.org"},"errors":{"email":["is taken"]}}}]}"#;

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
    fn a_record_of_another_application_is_no_record_and_is_copied_as_it_is() {
        let (apps, others) = (tags(), tags());
        let refused = |bytes: &Bytes| Record::decode_of(bytes, &apps).unwrap_err();
        assert_eq!(refused(&golden(&others)), NoRecord::Foreign);
        let untagged = Bytes::from(GOLDEN.replace("\"app\":TAG,", ""));
        assert_eq!(refused(&untagged), NoRecord::Foreign);
        assert_eq!(refused(&golden(&apps).slice(1..)), NoRecord::Unreadable);
        let stored = StoredRecord::new(golden(&others), Revision(1), Timestamp::from_millis(0));
        let copy = copy::copy_record(&stored, std::time::Duration::from_secs(1)).unwrap();
        assert_eq!(copy.bytes, stored.bytes);
    }

    #[test]
    fn a_record_of_another_version_or_cut_short_is_no_record() {
        let apps = tags();
        let golden = String::from_utf8(golden(&apps).to_vec()).unwrap();
        assert!(decode(&golden.replace("\"v\":1", "\"v\":2")).is_none());
        for cut in 0..golden.len() {
            assert!(decode(&golden[..cut]).is_none(), "cut at {cut}");
        }
    }

    // Requirement 40: depth costs nothing until someone asks, and then it is refused.
    #[test]
    fn a_hundred_thousand_nested_lists_are_carried_and_not_parsed() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let record =
            decode(&format!(r#"{{"v":1,"created":0,"values":{{"deep":{deep}}}}}"#)).unwrap();
        assert!(record.values.get::<serde_json::Value>("deep".into()).unwrap_err().is_decode());
        println!("depth 100000: carried, refused on reading");
    }
}
