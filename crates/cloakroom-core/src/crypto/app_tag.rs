//! The tag that says which application's a record is, on a store that several applications share.
//!
//! It is eight bytes of HKDF-SHA256 of the application key, info `cloakroom v1 application tag`, in
//! base64url. It tells applications apart and proves nothing: who can write to the store can copy it.
//! Records in cookies have none, because they are sealed with the key.

use std::{fmt, sync::Once};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::{crypto::app_keys::AppKeys, observe};

const BYTES: usize = 8;

/// The tags of the application's keys, and which records count.
pub(crate) struct AppTags {
    /// As they stand in a record, with their quotation marks; newest first, never empty.
    own: Vec<Box<str>>,
    scope: Scope,
    warned: Once,
}

/// Which of the application's keys a record's tag belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TagKey {
    /// The newest, or the record is read whatever its tag is.
    Newest,
    /// An older one: the record has to be written again before the key is dropped.
    Older,
}

/// Whose records are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those of this application.
    #[default]
    Own,
    /// Those of all applications on the store.
    Any,
}

impl AppTags {
    pub(crate) fn new(keys: &AppKeys, scope: Scope) -> Self {
        let tag = |key: &[u8]| format!("\"{}\"", URL_SAFE_NO_PAD.encode(&key[..BYTES])).into();
        let keys = keys.derive_all("application tag");
        Self { own: keys.iter().map(|(_, key)| tag(&**key)).collect(), scope, warned: Once::new() }
    }

    /// Returns the tag that is written, as JSON.
    pub(crate) fn written(&self) -> &str {
        &self.own[0]
    }

    /// Returns which key the tag, as JSON, of a record belongs to. If the record is another
    /// application's, returns `None` and warns once.
    pub(crate) fn find(&self, tag: Option<&str>) -> Option<TagKey> {
        if self.scope == Scope::Any {
            return Some(TagKey::Newest);
        }
        match self.own.iter().position(|own| tag == Some(&**own)) {
            Some(0) => Some(TagKey::Newest),
            Some(_) => Some(TagKey::Older),
            None => {
                self.warned.call_once(observe::foreign_record);
                None
            }
        }
    }
}

/// Shows how many there are.
impl fmt::Debug for AppTags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppTags({}, {:?})", self.own.len(), self.scope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tags_of_all_keys_count_and_the_first_is_written() {
        let (old, new) = (AppKeys::generate(), AppKeys::generate());
        let tags = |keys: &str| AppTags::new(&AppKeys::parse(keys).unwrap(), Scope::Own);
        let (before, rotated, after) = (tags(&old), tags(&format!("{new},{old}")), tags(&new));
        assert_eq!(before.written().len(), "\"\"".len() + 11);
        assert_eq!(rotated.find(Some(after.written())), Some(TagKey::Newest));
        assert_eq!(rotated.find(Some(before.written())), Some(TagKey::Older));
        assert_eq!(rotated.written(), after.written());
        assert_eq!(after.find(Some(before.written())), None);
        assert_eq!(after.find(None), None, "a record without a tag is nobody's");
        let any = AppTags::new(&AppKeys::random(), Scope::Any);
        assert!(any.find(Some(before.written())).is_some() && any.find(None).is_some());
    }

    /// The tag is part of the format of records.
    #[test]
    fn the_golden_tag_is_derived_unchanged() {
        let keys = AppKeys::from_bytes((0..32).collect());
        assert_eq!(AppTags::new(&keys, Scope::Own).written(), "\"xNbj9Aew9MQ\"");
    }
}
