//! The application tag of a stored record: it separates applications that share a store by mistake.
//!
//! The tag is the first eight bytes of HKDF-SHA256 of the application key with the info
//! `cloakroom v1 application tag`, in base64url. It does not authenticate the record, because anyone
//! who can write to the store can copy it. Records in cookies have no tag, because they are sealed with
//! the key.

use std::{fmt, sync::Once};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{crypto::app_keys::AppKeys, observe};

const BYTES: usize = 8;

/// The tags of the application's keys, and the scope of the records that are read.
pub(crate) struct AppTags {
    /// Each tag as a JSON string with its quotation marks, newest key first. Never empty.
    own: Vec<Box<str>>,
    scope: Scope,
    warned: Once,
}

/// The application key that a record's tag was derived from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagKey {
    /// The newest key. Also stands for every tag under [`Scope::Any`].
    Newest,
    /// An older key. The record must be written again before that key is removed.
    Older,
}

/// The records that are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Records with a tag of this application's keys.
    #[default]
    Own,
    /// Every record in the store.
    Any,
}

impl AppTags {
    pub(crate) fn new(keys: &AppKeys, scope: Scope) -> Self {
        let tag = |key: &[u8]| format!("\"{}\"", URL_SAFE_NO_PAD.encode(&key[..BYTES])).into();
        let keys = keys.derive_all("application tag");
        Self { own: keys.iter().map(|(_, key)| tag(&**key)).collect(), scope, warned: Once::new() }
    }

    /// Returns the tag for new records, as a JSON string.
    pub(crate) fn written(&self) -> &str {
        &self.own[0]
    }

    /// Finds the key of a record's tag, which is a JSON string. Returns `None` if the record belongs to
    /// another application, and logs a warning the first time.
    pub(crate) fn find(&self, tag: Option<&str>) -> Option<TagKey> {
        if self.scope == Scope::Any {
            return Some(TagKey::Newest);
        }
        match self.own.iter().position(|own| tag == Some(&**own)) {
            Some(0) => Some(TagKey::Newest),
            Some(_) => Some(TagKey::Older),
            None => {
                self.warn_of_foreign();
                None
            }
        }
    }

    /// Logs a warning the first time that a record of another application is found. Tools that read all
    /// applications find such records on purpose.
    pub(crate) fn warn_of_foreign(&self) {
        if self.scope == Scope::Own {
            self.warned.call_once(observe::foreign_record);
        }
    }

    /// Returns whether records of all applications are read.
    pub(crate) fn reads_all(&self) -> bool {
        self.scope == Scope::Any
    }
}

/// Shows the number of tags.
impl fmt::Debug for AppTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppTags({}, {:?})", self.own.len(), self.scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_of_all_keys_are_found_and_the_newest_is_written() {
        let (old, new) = (AppKeys::generate(), AppKeys::generate());
        let tags = |keys: &str| AppTags::new(&AppKeys::parse(keys).unwrap(), Scope::Own);
        let (before, rotated, after) = (tags(&old), tags(&format!("{new},{old}")), tags(&new));
        assert_eq!(before.written().len(), "\"\"".len() + 11);
        assert_eq!(rotated.find(Some(after.written())), Some(TagKey::Newest));
        assert_eq!(rotated.find(Some(before.written())), Some(TagKey::Older));
        assert_eq!(rotated.written(), after.written());
        assert_eq!(after.find(Some(before.written())), None);
        assert_eq!(after.find(None), None, "a record without a tag is foreign");
        let any = AppTags::new(&AppKeys::random(), Scope::Any);
        assert!(any.find(Some(before.written())).is_some() && any.find(None).is_some());
    }

    /// Stored records contain the tag, so its derivation is part of their format.
    #[test]
    fn the_golden_tag_is_derived_unchanged() {
        let keys = AppKeys::from_bytes((0..32).collect());
        assert_eq!(AppTags::new(&keys, Scope::Own).written(), "\"xNbj9Aew9MQ\"");
    }
}
