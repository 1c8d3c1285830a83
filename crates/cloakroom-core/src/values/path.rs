//! The path to a value: a key within the limits. Every access to a value uses one.

use bytestring::ByteString;
use serde::Serialize;

use crate::values::json::encode_below;
use crate::{
    error::{BadKey, Error, Kind},
    values::{
        key::{AsKey, Key, Notation},
        reserved,
    },
};

/// The length of the longest key, in bytes of UTF-8.
const MAX_BYTES: usize = 1024;

/// The number of segments that a path may have.
const MAX_SEGMENTS: usize = 32;

/// A checked key. `S` is `&str` for a borrowed path and `Box<str>` for an owned one.
///
/// Invariant: within the limits of keys, because only [`Path::of_key`] makes one. A path of one
/// segment is literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Path<S = Box<str>> {
    text: S,
    notation: Notation,
}

impl<'k> Path<&'k str> {
    /// Checks a key and returns its path.
    ///
    /// # Errors
    /// If the key is longer than 1,024 bytes, or has more than 32 segments.
    pub(crate) fn of<K: AsKey + ?Sized>(key: &'k K) -> Result<Self, Error> {
        Self::of_key(key.as_key())
    }

    /// Checks the key of a value that an application writes.
    ///
    /// # Errors
    /// As [`of`](Self::of). If the value is one that only the library writes.
    pub(crate) fn for_write<K: AsKey + ?Sized>(key: &'k K) -> Result<Self, Error> {
        let path = Self::of(key)?;
        if !reserved::NAMES.contains(&path.root()) {
            return Ok(path);
        }
        let begins = BadKey::beginning(path.text);
        Err(Kind::BadKey { begins, problem: BadKey::Reserved }.into())
    }

    pub(crate) fn of_key(Key { text, notation }: Key<'k>) -> Result<Self, Error> {
        let bytes = text.len();
        let notation = match notation {
            Notation::Literal => Notation::Literal,
            Notation::Dotted | Notation::Bracketed => Notation::of(text),
        };
        let path = Self { text, notation };
        let segments = path.segments().count();
        let problem = if bytes > MAX_BYTES {
            BadKey::Bytes { bytes, limit: MAX_BYTES }
        } else if segments > MAX_SEGMENTS {
            BadKey::Segments { segments, limit: MAX_SEGMENTS }
        } else {
            return Ok(path);
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
        let mut own = self.segments();
        outer.segments().all(|segment| own.next() == Some(segment))
    }

    /// Returns whether one of the two paths is in the other, so that a change at one changes the other.
    pub(crate) fn overlaps(self, other: Path<&str>) -> bool {
        self.is_in(other) || other.is_in(self)
    }

    /// Serializes a value that will be put at this path. The objects along the path count towards the
    /// limit of nesting.
    pub(crate) fn encode<T: Serialize + ?Sized>(self, value: &T) -> Result<ByteString, Error> {
        encode_below(self.text, self.segments().count() - 1, value)
    }

    /// Returns the names along the path. The first is that of the outermost member.
    pub(super) fn segments(self) -> impl Iterator<Item = &'k str> {
        let Self { text, notation } = self;
        text.split(move |letter| notation.separates(letter)).map(move |segment| match notation {
            Notation::Bracketed => segment.strip_suffix(']').unwrap_or(segment),
            Notation::Dotted | Notation::Literal => segment,
        })
    }

    /// Returns the name of the outermost member.
    pub(super) fn root(self) -> &'k str {
        self.segments().next().unwrap_or_default()
    }

    /// Returns whether the path leads into the outermost member.
    pub(super) fn is_nested(self) -> bool {
        self.notation != Notation::Literal
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
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn steps_in_brackets_are_those_with_dots(
            names in prop::collection::vec("[^.\\[\\]]{1,8}", 1..8),
        ) {
            let in_brackets = format!("{}{}", names[0], bracketed(&names[1..]));
            let path = Path::of(&in_brackets).unwrap();
            prop_assert!(path.segments().eq(names.iter().map(String::as_str)));
            let dotted = names.join(".");
            let dotted = Path::of(&dotted).unwrap();
            prop_assert!(path.is_in(dotted) && dotted.is_in(path));
        }

        #[test]
        fn every_text_is_a_key_with_its_own_letters(text in "[a-c.\\[\\]]{0,12}") {
            let path = Path::of(&text).unwrap();
            let letters = |text: &str| text.replace(['.', '[', ']'], "");
            let joined: String = path.segments().collect();
            prop_assert_eq!(letters(&joined), letters(&text));
            prop_assert_eq!(path.is_nested(), path.segments().count() > 1);
            // The key of a path leads to the same path.
            prop_assert_eq!(Path::of_key(path.key()).unwrap(), path);
        }
    }

    fn bracketed(names: &[String]) -> String {
        names.iter().flat_map(|name| ["[", name, "]"]).collect()
    }

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
    fn brackets_are_steps_as_dots_are() {
        for (key, same) in [
            ("user[age]", "user.age"),
            ("user[address][city]", "user.address.city"),
            ("user.tags[1].city", "user.tags.1.city"),
            ("user[a.b]", "user.a.b"),
        ] {
            let (path, same) = (Path::of(key).unwrap(), Path::of(same).unwrap());
            assert!(path.segments().eq(same.segments()), "{key}");
            assert!(path.is_in(same) && same.is_in(path) && path.is_in("user".into()), "{key}");
        }
        for key in ["[a]", "a[", "a]", "a[]", "a[b", "a[b]c", "a][b]", "a[b]]", "a[[b]]", "a[b[c]"]
        {
            assert_eq!(Path::of(key).unwrap().segments().collect::<Vec<_>>(), [key]);
        }
        let letters = Path::of("a[b.c").unwrap();
        assert_eq!(letters.segments().collect::<Vec<_>>(), ["a[b", "c"]);
        let literal = Key::literal("user[age]");
        assert_eq!(Path::of(&literal).unwrap().segments().collect::<Vec<_>>(), ["user[age]"]);
        let deep = format!("a{}", "[b]".repeat(32));
        assert_eq!(Path::of(&deep).unwrap_err().code(), "bad_key");
    }

    #[test]
    fn errors_quote_the_beginning_of_a_bad_key_escaped() {
        let key = format!("a\n{}", "é".repeat(600));
        let message = Path::of(&key).unwrap_err().to_string();
        assert!(message.contains("`a\\né") && !message.contains('\n'), "{message}");
    }
}
