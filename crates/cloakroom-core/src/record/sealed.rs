//! Records that are sealed by the application key, so that a reader of the store reads no values.
//!
//! # Format
//! A sealed record is a sealed text of [`seal`](crate::crypto::seal) as bytes, for the purpose `record` and
//! the place of its record key. Its plaintext is the record with its application tag. The first byte is the
//! version, 1. A plain record begins with `{`, so each record in a store says itself which one it is.
//!
//! # Security
//! A copy under another record key does not open. An earlier record that is put back under its own key does,
//! and so does a plain record, because the setting may have been turned on a moment ago. Sealing keeps
//! readers of the store out, not writers.

use bytes::Bytes;

use crate::{
    crypto::{
        app_keys::AppKeys,
        app_tag::{AppTags, TagKey},
        seal::Sealer,
    },
    record::{NoRecord, Record},
};
use cloakroom_store::RecordKey;

/// Writes records for a store, and reads them.
#[derive(Debug)]
pub(crate) struct RecordFormat {
    apps: AppTags,
    sealer: Sealer,
    writes: Writes,
}

/// The form of the records that are written. Both forms are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Writes {
    #[default]
    Plain,
    Sealed,
}

impl RecordFormat {
    pub(crate) fn new(keys: &AppKeys, apps: AppTags, writes: Writes) -> Self {
        Self { apps, sealer: sealer(keys), writes }
    }

    /// Returns the tags by which this application recognizes its records.
    pub(crate) fn apps(&self) -> &AppTags {
        &self.apps
    }

    /// Returns the bytes to be stored under `key`. `text` is the encoded record.
    pub(crate) fn write(&self, text: Bytes, key: &RecordKey) -> Bytes {
        match self.writes {
            Writes::Plain => text,
            Writes::Sealed => self.sealer.seal_bytes(&text, key.as_bytes()).into(),
        }
    }

    /// Reads the record under `key`.
    pub(crate) fn read(&self, bytes: &Bytes, key: &RecordKey) -> Result<Record, NoRecord> {
        if !Sealer::may_be_sealed(bytes) {
            let mut record = Record::decode_of(bytes, &self.apps)?;
            if self.writes == Writes::Sealed {
                // It is sealed at its next use.
                record.tag_key = TagKey::Older;
            }
            return Ok(record);
        }
        if !self.sealer.has_key_of(bytes) {
            self.apps.warn_of_foreign();
            return Err(NoRecord::Foreign);
        }
        let opened = self.sealer.open_bytes(bytes.to_vec(), key.as_bytes());
        let opened = opened.ok_or(NoRecord::Unreadable)?;
        let is_stale = opened.stale_key;
        let mut record = Record::decode_of(&opened.into_plaintext(), &self.apps)?;
        if is_stale {
            record.tag_key = TagKey::Older;
        }
        Ok(record)
    }

    /// Returns whether a tool that reads the records of all applications cannot read this one, because it is
    /// sealed by a key that it does not have.
    pub(crate) fn is_locked(&self, bytes: &[u8]) -> bool {
        self.apps.reads_all() && Sealer::may_be_sealed(bytes) && !self.sealer.has_key_of(bytes)
    }
}

/// Returns the text of a plain or a sealed record under `key`.
pub(super) fn open(bytes: &Bytes, key: &RecordKey, keys: Option<&AppKeys>) -> Option<Bytes> {
    if !Sealer::may_be_sealed(bytes) {
        return Some(bytes.clone());
    }
    let opened = sealer(keys?).open_bytes(bytes.to_vec(), key.as_bytes())?;
    Some(opened.into_plaintext())
}

fn sealer(keys: &AppKeys) -> Sealer {
    Sealer::new(keys, "record", "")
}

#[cfg(test)]
mod tests {
    use base64::{
        Engine,
        engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
    };

    use super::*;
    use crate::crypto::app_tag::Scope;

    const KEY: RecordKey = RecordKey::from_bytes([7; 32]);
    const OTHER: RecordKey = RecordKey::from_bytes([8; 32]);

    fn format(keys: &str, scope: Scope, writes: Writes) -> RecordFormat {
        let keys = AppKeys::parse(keys).unwrap();
        RecordFormat::new(&keys, AppTags::new(&keys, scope), writes)
    }

    /// Returns a record of `format` as it is stored under [`KEY`].
    fn written(format: &RecordFormat) -> Bytes {
        let record = Record::new(cloakroom_store::clock::Timestamp::from_millis(1), None);
        format.write(record.encode(Some(format.apps())).unwrap().into(), &KEY)
    }

    #[test]
    fn each_form_is_read_whatever_form_is_written() {
        let keys = AppKeys::generate();
        let [plain, sealed] =
            [Writes::Plain, Writes::Sealed].map(|writes| format(&keys, Scope::Own, writes));
        assert_eq!(written(&plain)[0], b'{');
        assert_eq!(written(&sealed).len(), written(&plain).len() + 45);
        for (reads, writes, tag_key) in [
            (&plain, &sealed, TagKey::Newest),
            (&sealed, &plain, TagKey::Older),
            (&sealed, &sealed, TagKey::Newest),
        ] {
            let record = reads.read(&written(writes), &KEY).unwrap();
            assert_eq!(record.tag_key, tag_key, "a plain record is sealed at its next use");
        }
    }

    #[test]
    fn a_sealed_record_opens_under_its_key_alone_and_unchanged() {
        let sealed = format(&AppKeys::generate(), Scope::Own, Writes::Sealed);
        let bytes = written(&sealed);
        let refused = |bytes: Bytes, key| sealed.read(&bytes, key).unwrap_err();
        assert_eq!(refused(bytes.clone(), &OTHER), NoRecord::Unreadable);
        for index in (0..bytes.len()).filter(|index| !(1..5).contains(index)) {
            let mut changed = bytes.to_vec();
            changed[index] ^= 1;
            assert_eq!(refused(changed.into(), &KEY), NoRecord::Unreadable, "byte {index}");
        }
        for cut in 0..bytes.len() {
            assert!(sealed.read(&bytes.slice(..cut), &KEY).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_record_of_an_older_key_opens_and_is_marked() {
        let (old, new) = (AppKeys::generate(), AppKeys::generate());
        let bytes = written(&format(&old, Scope::Own, Writes::Sealed));
        let rotated = format(&format!("{new},{old}"), Scope::Own, Writes::Sealed);
        assert_eq!(rotated.read(&bytes, &KEY).unwrap().tag_key, TagKey::Older);
        let without = format(&new, Scope::Own, Writes::Sealed);
        assert_eq!(without.read(&bytes, &KEY).unwrap_err(), NoRecord::Foreign);
        assert!(!without.is_locked(&bytes), "it is another application's");
        assert!(format(&new, Scope::Any, Writes::Plain).is_locked(&bytes));
        assert!(!format(&old, Scope::Any, Writes::Plain).is_locked(&bytes));
    }

    /// `tests/golden/open_sealed.py` opens the same vector, as that of sealed cookies.
    #[test]
    fn the_golden_record_seals_and_opens_unchanged() {
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/sealed_record_v1.json")).unwrap();
        let text = |name: &str| golden[name].as_str().unwrap();
        let key = text("app_key").strip_prefix("base64:").unwrap();
        let sealer = sealer(&AppKeys::from_bytes(STANDARD.decode(key).unwrap()));
        let key = RecordKey::parse(text("record_key")).unwrap();
        let nonce = URL_SAFE_NO_PAD.decode(text("nonce")).unwrap().try_into().unwrap();
        let sealed = sealer.seal_with(nonce, text("plaintext").as_bytes(), key.as_bytes());
        assert_eq!(URL_SAFE_NO_PAD.encode(&sealed), text("sealed"));
        let opened = sealer.open_bytes(sealed, key.as_bytes()).unwrap().into_plaintext();
        assert_eq!(opened, text("plaintext").as_bytes());
    }
}
