//! JSON texts: writes them, and finds members in them without parsing the values.
//!
//! The functions that find members expect valid JSON and do not check it. In invalid JSON they find
//! arbitrary texts, and deserializing such a text fails.

use std::borrow::Cow;

use bytestring::ByteString;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Number, Value};

use crate::error::{Error, Kind};

/// How deeply lists and objects may be nested. All common JSON parsers read this depth.
pub(crate) const MAX_NESTING: usize = 64;

/// Serializes the value of a top-level member. The error names `key`.
pub(crate) fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<ByteString, Error> {
    encode_below(key, 0, value)
}

/// Serializes a value that is put below `objects` objects. They count towards [`MAX_NESTING`].
pub(super) fn encode_below<T: Serialize + ?Sized>(
    key: &str,
    objects: usize,
    value: &T,
) -> Result<ByteString, Error> {
    let text = serde_json::to_string(value);
    let text = text.map_err(|cause| Error::from(Kind::Encode { key: key.to_owned(), cause }))?;
    if Scanner::new(&text).nested().is_some_and(|depth| depth + objects > MAX_NESTING) {
        return Err(Kind::TooDeep { key: key.to_owned(), limit: MAX_NESTING }.into());
    }
    Ok(text.into())
}

/// Deserializes the value of `key`, if it has one. `null` is an absence. The error names the key and
/// the type, and quotes no part of the value.
pub(crate) fn decode<T: DeserializeOwned>(
    key: &str,
    text: Option<&str>,
) -> Result<Option<T>, Error> {
    text.map_or(Ok(None), serde_json::from_str).map_err(|_| {
        Kind::Decode { key: key.to_owned(), expected: std::any::type_name::<T>() }.into()
    })
}

/// Writes a string as a JSON string.
pub(crate) fn write_string(out: &mut String, string: &str) {
    let needs_escape = |byte: u8| byte < b' ' || matches!(byte, b'"' | b'\\');
    if string.bytes().any(needs_escape) {
        out.push_str(&Value::from(string).to_string());
    } else {
        out.push('"');
        out.push_str(string);
        out.push('"');
    }
}

/// Returns the JSON text of a number.
pub(super) fn encode_number(number: &Number) -> ByteString {
    match number.as_i64() {
        Some(int) => itoa::Buffer::new().format(int).into(),
        None => number.to_string().into(),
    }
}

/// Returns the type of a JSON value for error messages, with its article.
pub(super) fn describe(text: &str) -> &'static str {
    match text.as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

/// Returns the member `segment` of an object, or the entry with this index of a list. Of several
/// members with one name it returns the last, as JSON parsers do (RFC 8259, 4).
pub(super) fn member<'t>(parent: &'t str, segment: &str) -> Option<&'t str> {
    let mut found = None;
    if parent.starts_with('[') {
        let index: usize = segment.parse().ok()?;
        let mut current = 0;
        each_entry(parent, |value| {
            if current == index {
                found = Some(value);
            }
            current += 1;
            Some(())
        })?;
    } else {
        found = object_member(parent, segment);
    }
    found
}

/// Returns the member `name` of an object. Returns `None` for another value.
pub(super) fn object_member<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    let mut found = None;
    each_member(object, |member, value| {
        if member == name {
            found = Some(value);
        }
        Some(())
    })?;
    found
}

/// Calls `visit` with the name and the text of each member of an object. Stops and returns `None` if
/// `visit` returns `None`, or if the text is not an object.
pub(crate) fn each_member<'t>(
    object: &'t str,
    mut visit: impl FnMut(Cow<'t, str>, &'t str) -> Option<()>,
) -> Option<()> {
    Scanner::new(object).each(b'{', b'}', |scanner| {
        let (quoted, has_escapes) = scanner.string()?;
        let name = if has_escapes {
            Cow::Owned(serde_json::from_str(quoted).ok()?)
        } else {
            Cow::Borrowed(quoted.get(1..quoted.len() - 1)?)
        };
        scanner.eat(b':')?;
        visit(name, scanner.value()?)
    })
}

/// Calls `visit` with the text of each entry of a list. Stops and returns `None` if `visit` returns
/// `None`, or if the text is not a list.
pub(crate) fn each_entry<'t>(
    list: &'t str,
    mut visit: impl FnMut(&'t str) -> Option<()>,
) -> Option<()> {
    Scanner::new(list).each(b'[', b']', |scanner| visit(scanner.value()?))
}

/// A position in a JSON text.
struct Scanner<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips whitespace. Returns the next byte without moving past it.
    fn next(&mut self) -> Option<u8> {
        loop {
            match self.peek() {
                Some(b' ' | b'\t' | b'\n' | b'\r') => self.at += 1,
                found => return found,
            }
        }
    }

    /// Moves past `byte` if it is the next byte that is not whitespace.
    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then(|| self.at += 1)
    }

    /// Calls `visit` at each item between `open` and `close`, up to the end of the text.
    fn each(
        mut self,
        open: u8,
        close: u8,
        mut visit: impl FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.eat(open)?;
        if self.next()? != close {
            visit(&mut self)?;
            while self.next()? != close {
                self.eat(b',')?;
                visit(&mut self)?;
            }
        }
        self.at += 1;
        self.next().is_none().then_some(())
    }

    /// Moves past a string. Returns its text with the quotation marks, and whether it has escapes.
    fn string(&mut self) -> Option<(&'t str, bool)> {
        self.eat(b'"')?;
        let (bytes, begin) = (self.text.as_bytes(), self.at - 1);
        let (mut at, mut has_escapes) = (self.at, false);
        loop {
            match bytes.get(at)? {
                b'"' => break,
                b'\\' => {
                    has_escapes = true;
                    // The backslash and at least one escaped byte.
                    at += 2;
                }
                _ => at += 1,
            }
        }
        self.at = at + 1;
        Some((self.text.get(begin..self.at)?, has_escapes))
    }

    /// Moves past a value. Returns its text.
    fn value(&mut self) -> Option<&'t str> {
        let first = self.next()?;
        let begin = self.at;
        match first {
            b'"' => return Some(self.string()?.0),
            b'{' | b'[' => drop(self.nested()?),
            _ => {
                let ends =
                    |byte: &u8| matches!(byte, b',' | b']' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
                let rest = &self.text.as_bytes()[begin..];
                self.at = begin + rest.iter().position(ends).unwrap_or(rest.len());
            }
        }
        self.text.get(begin..self.at).filter(|text| !text.is_empty())
    }

    /// Moves past an object or a list. Returns its depth, or 0 for a value of another type. Uses no
    /// recursion, so any depth is safe.
    fn nested(&mut self) -> Option<usize> {
        let bytes = self.text.as_bytes();
        let (mut depth, mut deepest) = (0_usize, 0);
        loop {
            match bytes.get(self.at)? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    depth += 1;
                    deepest = deepest.max(depth);
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.saturating_sub(1);
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            if depth == 0 {
                return Some(deepest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// Generates JSON values.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".*", inner, 0..4).prop_map(|members| json!(members)),
            ]
        })
    }

    proptest! {
        #[test]
        fn scanning_finds_the_values_that_parsing_finds(value in any_value(), pretty: bool) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            prop_assert_eq!(Scanner::new(&text).value(), Some(&*text));
            let parse = |text: &str| serde_json::from_str::<Value>(text).ok();
            // Parsing may round a number.
            let value = parse(&value.to_string()).unwrap();
            match value {
                Value::Object(members) => for (name, value) in members {
                    prop_assert_eq!(member(&text, &name).and_then(parse), Some(value));
                },
                Value::Array(entries) => for (index, value) in entries.into_iter().enumerate() {
                    prop_assert_eq!(member(&text, &index.to_string()).and_then(parse), Some(value));
                },
                _ => (),
            }
        }

        #[test]
        fn invalid_json_causes_no_panic(text in "[\\[\\]{}\",:\\\\ a0é]*") {
            let _ = Scanner::new(&text).value();
            let _ = member(&text, "a");
        }

        #[test]
        fn strings_are_written_as_serde_json_writes_them(string in ".*") {
            let mut written = String::new();
            write_string(&mut written, &string);
            prop_assert_eq!(written, Value::from(string).to_string());
        }
    }

    #[test]
    fn texts_that_end_too_early_have_no_members() {
        let whole = r#"{ "a" : [1, {"b": "\"]"}] , "c\n": null }"#;
        let names = |text: &str| {
            let mut names = Vec::new();
            let whole = each_member(text, |name, _| {
                names.push(name.into_owned());
                Some(())
            });
            whole.map(|()| names)
        };
        assert_eq!(names(whole).unwrap(), ["a", "c\n"]);
        for cut in 0..whole.len() {
            assert_eq!(names(&whole[..cut]), None, "cut at {cut}");
        }
        for bad in ["[]", "{}x", "{,}", "{1:2}", "{\"a\" 1}", "{\"a\":}", "{\"a\":1 2}"] {
            assert_eq!(names(bad), None, "{bad}");
        }
    }
}
