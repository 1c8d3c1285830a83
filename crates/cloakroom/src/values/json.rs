//! The texts of JSON values.

use std::{borrow::Cow, fmt};

use bytestring::ByteString;
use serde::{
    Deserialize, Deserializer as _, Serialize,
    de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::error::{Error, Kind};

/// How deeply lists and objects may be nested: as deep as readers of JSON everywhere go.
const MAX_NESTING: usize = 64;

/// Serializes `value`. The error names `key`.
pub(crate) fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<ByteString, Error> {
    let text = serde_json::to_string(value);
    let text = text.map_err(|cause| Error::from(Kind::Encode { key: key.to_owned(), cause }))?;
    if nesting(&text) > MAX_NESTING {
        return Err(Kind::TooDeep { key: key.to_owned(), limit: MAX_NESTING }.into());
    }
    Ok(text.into())
}

pub(crate) fn decode<T: DeserializeOwned>(key: &str, text: &str) -> Result<Option<T>, Error> {
    serde_json::from_str(text).map_err(|_| {
        Kind::Decode { key: key.to_owned(), expected: std::any::type_name::<T>() }.into()
    })
}

/// Returns how deeply lists and objects are nested in a JSON text.
fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'[' | b'{' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => (),
        }
    }
    deepest
}

/// Goes on behind the closing quote.
fn skip_string(bytes: &mut impl Iterator<Item = u8>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => (),
        }
    }
}

/// What stands under `segment` in an object or a list, found without taking the rest apart.
pub(super) fn member<'t>(parent: &'t str, segment: &str) -> Option<&'t str> {
    if parent.starts_with('[') {
        let entries: Vec<&RawValue> = serde_json::from_str(parent).ok()?;
        return entries.get(segment.parse::<usize>().ok()?).map(|entry| entry.get());
    }
    let mut deserializer = serde_json::Deserializer::from_str(parent);
    deserializer.deserialize_map(Find(segment)).ok()?
}

/// Walks an object for one member. Of several of one name the last counts, as everywhere in JSON.
struct Find<'k>(&'k str);

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Name(name)) = map.next_key()? {
            if name == self.0 {
                found = Some(map.next_value::<&RawValue>()?.get());
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A member's name, borrowed from the text unless it has escapes.
#[derive(Deserialize)]
pub(super) struct Name<'t>(#[serde(borrow)] pub(super) Cow<'t, str>);

/// Writes a string as JSON has it.
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

/// Returns what kind of value a JSON text is, for errors.
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
