//! A key that was checked: the only thing by which values are reached.

use bytestring::ByteString;
use serde::Serialize;

use crate::values::json::encode_below;
use crate::{
    error::{BadKey, Error, Kind},
    values::key::{AsKey, Key, Notation},
};

/// How long a key may be, in bytes of UTF-8.
const MAX_BYTES: usize = 1024;

/// How many segments a dotted key may have.
const MAX_SEGMENTS: usize = 32;

/// The way to a value. `S` is `&str`, or `Box<str>` where the path is kept.
///
/// Invariant: within the limits of keys, because [`Path::of`] alone makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path<S = Box<str>> {
    text: S,
    notation: Notation,
}

impl<'k> Path<&'k str> {
    /// Returns the path of a key.
    ///
    /// # Errors
    /// When the key is too long or has too many segments.
    pub(crate) fn of<K: AsKey + ?Sized>(key: &'k K) -> Result<Self, Error> {
        let Key { text, notation } = key.as_key();
        let (bytes, segments) = (text.len(), 1 + text.bytes().filter(|b| *b == b'.').count());
        let problem = if bytes > MAX_BYTES {
            BadKey::Bytes { bytes, limit: MAX_BYTES }
        } else if notation == Notation::Dotted && segments > MAX_SEGMENTS {
            BadKey::Segments { segments, limit: MAX_SEGMENTS }
        } else {
            return Ok(Self { text, notation });
        };
        Err(Kind::BadKey { begins: BadKey::beginning(text), problem }.into())
    }

    /// Returns the key's text.
    pub(crate) fn text(self) -> &'k str {
        self.text
    }

    /// Serializes a value that is to be put here. Together with the objects on the way to it, it may be
    /// nested as deeply as a value of one member.
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

/// Tests write constants.
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
    fn keys_have_a_length_and_a_depth() {
        let refused = |key: &dyn Fn() -> Result<(), Error>| key().unwrap_err();
        let (long, deep) = ("k".repeat(1024), ["s"; 32].join("."));
        assert!(Path::of(&long).is_ok() && Path::of(&deep).is_ok());
        let literal = ".".repeat(1024);
        assert!(Path::of(&Key::literal(&literal)).is_ok());
        for (key, limit) in
            [(format!("{long}k"), "1024 bytes"), (format!("{deep}.s"), "32 segments")]
        {
            let error = refused(&|| Path::of(&key).map(drop));
            assert_eq!(error.code(), "bad_key");
            let message = error.to_string();
            assert!(message.contains(limit) && message.len() < 300, "{message}");
        }
        let error = refused(&|| Path::of(&Key::literal(&format!("{long}k"))).map(drop));
        assert!(error.is_bad_key(), "{error}");
    }

    #[test]
    fn the_beginning_of_a_bad_key_is_escaped_and_whole_characters() {
        let key = format!("a\n{}", "é".repeat(600));
        let message = Path::of(&key).unwrap_err().to_string();
        assert!(message.contains("`a\\né") && !message.contains('\n'), "{message}");
    }
}
