//! The path to a value: a key within the limits. Every access to a value uses one.

use bytestring::ByteString;
use serde::Serialize;

use crate::values::json::encode_below;
use crate::{
    error::{BadKey, Error, Kind},
    values::key::{AsKey, Key, Notation},
};

/// The length of the longest key, in bytes of UTF-8.
const MAX_BYTES: usize = 1024;

/// The number of segments that a dotted key may have.
const MAX_SEGMENTS: usize = 32;

/// A checked key. `S` is `&str` for a borrowed path and `Box<str>` for an owned one.
///
/// Invariant: within the limits of keys, because [`Path::of`] is the only constructor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path<S = Box<str>> {
    text: S,
    notation: Notation,
}

impl<'k> Path<&'k str> {
    /// Checks a key and returns its path.
    ///
    /// # Errors
    /// If the key is longer than 1,024 bytes, or is dotted and has more than 32 segments.
    pub(crate) fn of<K: AsKey + ?Sized>(key: &'k K) -> Result<Self, Error> {
        Self::of_key(key.as_key())
    }

    pub(crate) fn of_key(Key { text, notation }: Key<'k>) -> Result<Self, Error> {
        let (bytes, dots) = (text.len(), text.bytes().filter(|b| *b == b'.').count());
        // Without a dot both notations mean the same, and the literal one is not searched for dots again.
        let notation = if dots == 0 { Notation::Literal } else { notation };
        let segments = dots + 1;
        let problem = if bytes > MAX_BYTES {
            BadKey::Bytes { bytes, limit: MAX_BYTES }
        } else if notation == Notation::Dotted && segments > MAX_SEGMENTS {
            BadKey::Segments { segments, limit: MAX_SEGMENTS }
        } else {
            return Ok(Self { text, notation });
        };
        Err(Kind::BadKey { begins: BadKey::beginning(text), problem }.into())
    }

    /// Returns the key that this path is of.
    pub(crate) fn key(self) -> Key<'k> {
        Key { text: self.text, notation: self.notation }
    }

    /// Returns the key's text.
    pub(crate) fn text(self) -> &'k str {
        self.text
    }

    /// Returns whether this is the path `outer`, or one below it.
    pub(crate) fn is_in(self, outer: Path<&str>) -> bool {
        let (root, below) = self.split_root();
        let (outer_root, outer_below) = outer.split_root();
        root == outer_root
            && match (below, outer_below) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(below), Some(outer)) => below
                    .strip_prefix(outer)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
            }
    }

    /// Returns whether one of the two paths is in the other, so that a change at one changes the other.
    pub(crate) fn overlaps(self, other: Path<&str>) -> bool {
        self.is_in(other) || other.is_in(self)
    }

    /// Serializes a value that will be put at this path. The objects along the path count towards the
    /// limit of nesting.
    pub(crate) fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<ByteString, Error> {
        let below = self.split_root().1;
        let objects = below.map_or(0, |below| below.split('.').count());
        encode_below(self.text, objects, value)
    }

    /// Returns the name of the outermost member, and the path below it.
    pub(super) fn split_root(self) -> (&'k str, Option<&'k str>) {
        match self.notation {
            Notation::Dotted => match self.text.split_once('.') {
                Some((root, below)) => (root, Some(below)),
                None => (self.text, None),
            },
            Notation::Literal => (self.text, None),
        }
    }

    pub(crate) fn to_owned(self) -> Path {
        Path { text: self.text.into(), notation: self.notation }
    }
}

impl Path {
    pub(crate) fn borrow(&self) -> Path<&str> {
        Path { text: &self.text, notation: self.notation }
    }
}

/// Tests use short constant keys, which are within the limits.
#[cfg(test)]
impl<'k> From<&'k str> for Path<&'k str> {
    fn from(text: &'k str) -> Self {
        Self::of(text).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_limited_in_length_and_depth() {
        let (long, deep) = ("k".repeat(1024), ["s"; 32].join("."));
        assert!(Path::of(&long).is_ok() && Path::of(&deep).is_ok());
        let literal = ".".repeat(1024);
        assert!(Path::of(&Key::literal(&literal)).is_ok());
        for (key, limit) in
            [(format!("{long}k"), "1024 bytes"), (format!("{deep}.s"), "32 segments")]
        {
            let error = Path::of(&key).unwrap_err();
            assert_eq!(error.code(), "bad_key");
            let message = error.to_string();
            assert!(message.contains(limit) && message.len() < 300, "{message}");
        }
        let key = format!("{long}k");
        let error = Path::of(&Key::literal(&key)).unwrap_err();
        assert!(error.is_bad_key(), "{error}");
    }

    #[test]
    fn errors_quote_the_beginning_of_a_bad_key_escaped() {
        let key = format!("a\n{}", "é".repeat(600));
        let message = Path::of(&key).unwrap_err().to_string();
        assert!(message.contains("`a\\né") && !message.contains('\n'), "{message}");
    }
}
