//! A session's values: a JSON object whose members stay as they were written until someone asks.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{DeserializeOwned, Error as _, IgnoredAny, MapAccess, Visitor},
};
use serde_json::{
    Map, Number, Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    error::{Error, Kind},
    number::Delta,
};

/// Names, and each value as the JSON text that was stored.
///
/// Keys are paths. A dot descends: `user.theme` is the member `theme` of the object `user`; below a
/// list a number picks an entry (reading only).
#[derive(Clone)]
pub(crate) enum Values {
    /// As they came from the record: nobody has changed anything, and reading walks the text.
    Stored(Box<RawValue>),
    /// Taken apart, one level deep.
    Open(Members),
}

type Members = BTreeMap<Box<str>, Box<RawValue>>;

impl Default for Values {
    fn default() -> Self {
        Self::Open(Members::new())
    }
}

impl Values {
    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Stored(text) => text.get()[1..].trim_start().starts_with('}'),
            Self::Open(members) => members.is_empty(),
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The members, to be changed.
    fn open(&mut self) -> &mut Members {
        if let Self::Stored(text) = self {
            *self = Self::Open(members(text).unwrap_or_default());
        }
        match self {
            Self::Open(members) => members,
            Self::Stored(_) => unreachable!("opened above"),
        }
    }

    /// Returns every value, parsed. One that is nested too deeply to be parsed is `null`, with a
    /// warning, and hides no other.
    pub(crate) fn all(&self) -> Map<String, Value> {
        let parse = |key: &str, raw: &RawValue| {
            let value = serde_json::from_str(raw.get()).unwrap_or_else(|_| {
                tracing::warn!(key, "a stored value is nested too deeply and reads as null");
                Value::Null
            });
            (key.to_owned(), value)
        };
        let parse_all = |members: &Members| {
            members.iter().map(|(key, raw)| parse(key, raw)).collect::<Map<_, _>>()
        };
        match self {
            Self::Stored(text) => parse_all(&members(text).unwrap_or_default()),
            Self::Open(members) => parse_all(members),
        }
    }

    /// The stored text at `path`.
    pub(crate) fn raw(&self, path: &str) -> Option<&RawValue> {
        let mut segments = path.split('.');
        let root = self.member(segments.next()?)?;
        segments.try_fold(root, member)
    }

    /// The stored text of the member `name`, whatever dots it has.
    pub(crate) fn member(&self, name: &str) -> Option<&RawValue> {
        match self {
            Self::Stored(text) => member(text, name),
            Self::Open(members) => members.get(name).map(|raw| &**raw),
        }
    }

    /// The value at `path`, deserialized from its own text alone; `null` is an absence.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        self.raw(path).map_or(Ok(None), |raw| decode(path, raw))
    }

    /// Puts a value at `path`, making the objects on the way.
    pub(crate) fn put(&mut self, path: &str, value: Box<RawValue>) -> Result<(), Error> {
        self.put_below(path, 0, value)
    }

    /// `start` is where in `path` this object's own member begins; what comes before is the way here.
    fn put_below(&mut self, path: &str, start: usize, value: Box<RawValue>) -> Result<(), Error> {
        let here = self.open();
        let Some((head, _)) = path[start..].split_once('.') else {
            here.insert(path[start..].into(), value);
            return Ok(());
        };
        let end = start + head.len();
        let mut inner = match here.get(head) {
            None => Self::default(),
            Some(raw) => object(raw).ok_or_else(|| Kind::NotAnObject {
                key: path[..end].to_owned(),
                found: describe(raw),
            })?,
        };
        inner.put_below(path, end + 1, value)?;
        here.insert(head.into(), encode(path, &inner)?);
        Ok(())
    }

    /// Removes what is at `path`, if anything is.
    pub(crate) fn forget(&mut self, path: &str) {
        let here = self.open();
        let Some((head, rest)) = path.split_once('.') else {
            here.remove(path);
            return;
        };
        let Some(mut inner) = here.get(head).and_then(|raw| object(raw)) else { return };
        inner.forget(rest);
        if let Ok(raw) = to_raw_value(&inner) {
            here.insert(head.into(), raw);
        }
    }

    /// The number at `path` with `by` added; a missing one counts as 0.
    pub(crate) fn sum(&self, path: &str, by: Delta) -> Result<Number, Error> {
        let current = match self.raw(path) {
            None => Number::from(0),
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|_| Kind::NotANumber { key: path.to_owned(), found: describe(raw) })?,
        };
        by.add_to(&current).ok_or_else(|| Kind::Overflow { key: path.to_owned() }.into())
    }

    /// Lays `newer` over these values, member by member.
    pub(crate) fn extend(&mut self, mut newer: Self) {
        self.open().append(newer.open());
    }

    /// These values without the members that `keep` rejects.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.open().retain(|key, _| keep(key));
    }
}

/// Written as it was read, where nothing changed.
impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Stored(text) => text.serialize(serializer),
            Self::Open(members) => members.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Box::<RawValue>::deserialize(deserializer)?;
        if text.get().starts_with('{') {
            Ok(Self::Stored(text))
        } else {
            Err(D::Error::custom("values are an object"))
        }
    }
}

/// Shows how many there are.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored(text) => write!(f, "Values({} bytes)", text.get().len()),
            Self::Open(members) => write!(f, "Values({} members)", members.len()),
        }
    }
}

/// How deeply lists and objects may be nested: as deep as readers of JSON everywhere go.
const MAX_NESTING: usize = 64;

/// Serializes `value`. The error names `key`.
pub(crate) fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Box<RawValue>, Error> {
    let raw = to_raw_value(value);
    let raw = raw.map_err(|cause| Error::from(Kind::Encode { key: key.to_owned(), cause }))?;
    if nesting(raw.get()) > MAX_NESTING {
        return Err(Kind::TooDeep { key: key.to_owned(), limit: MAX_NESTING }.into());
    }
    Ok(raw)
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

/// Serializes `value`, which has to become a JSON object.
pub(crate) fn encode_object<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<Values, Error> {
    let raw = encode(what, value)?;
    object(&raw)
        .ok_or_else(|| Kind::NotAnObject { key: what.to_owned(), found: describe(&raw) }.into())
}

pub(crate) fn decode<T: DeserializeOwned>(key: &str, raw: &RawValue) -> Result<Option<T>, Error> {
    serde_json::from_str(raw.get()).map_err(|_| {
        Kind::Decode { key: key.to_owned(), expected: std::any::type_name::<T>() }.into()
    })
}

fn members(raw: &RawValue) -> Option<Members> {
    serde_json::from_str(raw.get()).ok()
}

fn object(raw: &RawValue) -> Option<Values> {
    members(raw).map(Values::Open)
}

/// What stands under `segment` in an object or a list, found without taking the rest apart.
fn member<'a>(parent: &'a RawValue, segment: &str) -> Option<&'a RawValue> {
    if parent.get().starts_with('[') {
        let entries: Vec<&RawValue> = serde_json::from_str(parent.get()).ok()?;
        return entries.get(segment.parse::<usize>().ok()?).copied();
    }
    let mut deserializer = serde_json::Deserializer::from_str(parent.get());
    deserializer.deserialize_map(Find(segment)).ok()?
}

/// Walks an object for one member. Of several of one name the last counts, as everywhere in JSON.
struct Find<'k>(&'k str);

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(Name(name)) = map.next_key()? {
            if name == self.0 {
                found = Some(map.next_value()?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// A member's name, borrowed from the text unless it has escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

fn describe(raw: &RawValue) -> &'static str {
    match raw.get().as_bytes().first() {
        Some(b'"') => "a string",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "null",
        _ => "a number",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(json: &Value) -> Values {
        serde_json::from_str(&json.to_string()).unwrap()
    }

    fn put(values: &mut Values, path: &str, value: &Value) -> Result<(), Error> {
        values.put(path, encode(path, value)?)
    }

    #[test]
    fn falsy_values_survive() {
        let mut it = Values::default();
        for (key, value) in
            [("f", json!(false)), ("z", json!(0)), ("s", json!("")), ("l", json!([]))]
        {
            put(&mut it, key, &value).unwrap();
            assert_eq!(it.get::<Value>(key).unwrap(), Some(value));
        }
    }

    #[test]
    fn dots_reach_into_objects_and_lists() {
        let mut it = values(&json!({"tags": ["a", {"b": 1}]}));
        put(&mut it, "user.settings.theme", &json!("dark")).unwrap();
        assert_eq!(it.all()["user"], json!({"settings": {"theme": "dark"}}));
        assert_eq!(it.get::<u8>("tags.1.b").unwrap(), Some(1));
        it.forget("user.settings.theme");
        assert_eq!(it.all()["user"], json!({"settings": {}}));
        it.forget("tags.x.y");
        assert_eq!(it.get::<Value>("user.nothing.here").unwrap(), None);
    }

    #[test]
    fn stored_and_opened_values_read_alike() {
        let text = r#"{"a":1,"\u0062":{"c":[1,{"d":null}]},"a":2,"":3}"#;
        let stored: Values = serde_json::from_str(text).unwrap();
        let mut opened = stored.clone();
        opened.open();
        for path in
            ["a", "b", "b.c", "b.c.1", "b.c.1.d", "b.c.2", "b.c.x", "", "x", "a.b", "b.c.1.d.e"]
        {
            let read = |it: &Values| it.raw(path).map(|raw| raw.get().to_owned());
            assert_eq!(read(&stored), read(&opened), "{path}");
        }
        assert_eq!(stored.all(), opened.all());
        for (text, empty) in [("{}", true), ("{ \n}", true), ("{\"a\":1}", false)] {
            assert_eq!(serde_json::from_str::<Values>(text).unwrap().is_empty(), empty);
        }
        assert!(serde_json::from_str::<Values>("[]").is_err());
    }

    #[test]
    fn putting_below_a_string_names_the_string() {
        let mut it = values(&json!({"user": {"name": "virk"}}));
        let error = put(&mut it, "user.name.first", &json!("v")).unwrap_err();
        assert_eq!(error.code(), "not_an_object");
        assert!(error.to_string().contains("`user.name`"), "{error}");
        assert!(error.to_string().contains("a string"), "{error}");
    }

    #[test]
    fn a_value_that_is_nested_too_deeply_is_refused_and_hides_no_other() {
        let nested = |depth: usize| {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            RawValue::from_string(text).unwrap()
        };
        assert!(encode("k", &nested(64)).is_ok());
        let error = encode("k", &nested(65)).unwrap_err();
        assert_eq!(error.code(), "encode");
        assert!(error.to_string().contains("`k`") && error.to_string().contains("64"), "{error}");
        assert!(encode("k", "[[[\\\"[[[").is_ok(), "brackets in a string do not nest");
        let stored: Values =
            serde_json::from_str(&format!(r#"{{"a":1,"deep":{}}}"#, nested(200))).unwrap();
        assert_eq!(json!(stored.all()), json!({"a": 1, "deep": null}));
    }

    #[test]
    fn untouched_values_keep_their_text() {
        let text = r#"{"a":1.0e2,"b":{ "spaced" : true }}"#;
        let mut it: Values = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&it).unwrap(), text);
        put(&mut it, "c", &json!(1)).unwrap();
        assert_eq!(serde_json::to_string(&it).unwrap(), text.replace("}}", "},\"c\":1}"));
    }

    #[test]
    fn counting_starts_at_zero_and_refuses_what_is_no_number() {
        let it = values(&json!({"name": "virk", "big": u64::MAX, "half": 0.5}));
        assert_eq!(it.sum("visits", Delta::Whole(2)).unwrap(), 2.into());
        assert_eq!(it.sum("half", Delta::Whole(1)).unwrap().as_f64(), Some(1.5));
        assert_eq!(it.sum("big", Delta::Whole(1)).unwrap_err().code(), "overflow");
        let error = it.sum("name", Delta::Whole(1)).unwrap_err().to_string();
        assert!(error.contains("`name`") && error.contains("a string"), "{error}");
    }
}
