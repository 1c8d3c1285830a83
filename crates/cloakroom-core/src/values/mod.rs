//! The values of a session: a JSON object whose members stay JSON text until they are read.

mod json;
pub(crate) mod key;
mod members;
pub(crate) mod number;
mod path;
pub(crate) mod reserved;

use std::fmt;

use bytestring::ByteString;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Number, Value};

use json::describe;
pub(crate) use json::{MAX_NESTING, decode, each_entry, each_member, encode, write_string};
use members::Members;
pub(crate) use path::Path;

use crate::{
    error::{Error, Kind},
    values::number::Delta,
};

/// The members of a JSON object, each value as its JSON text.
///
/// A dotted path descends into objects: `user.theme` is the member `theme` of the object `user`. When
/// a value is read, a number in the path selects the entry of a list.
#[derive(Clone)]
pub(crate) enum Values {
    /// The unchanged text of the object. A read scans the text instead of parsing it, because most
    /// requests read few values.
    Stored(ByteString),
    /// The object, parsed one level deep.
    Open(Members),
}

impl Default for Values {
    fn default() -> Self {
        Self::Open(Members::default())
    }
}

impl Values {
    /// Wraps a valid JSON text. Returns `None` if the text is not an object.
    pub(crate) fn parse(text: ByteString) -> Option<Self> {
        text.starts_with('{').then_some(Self::Stored(text))
    }

    pub(crate) fn is_empty(&self) -> bool {
        match self {
            Self::Stored(text) => text[1..].trim_start().starts_with('}'),
            Self::Open(members) => members.is_empty(),
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Parses the members. Damaged values are an absence, because an error at each request would lock
    /// the visitor out.
    fn members(text: &ByteString) -> Members {
        Members::parse(text).unwrap_or_else(|| {
            let bytes = text.len();
            tracing::warn!(bytes, "ignoring the values of a session: they are damaged");
            Members::default()
        })
    }

    /// Parses the members, if they are not parsed yet, and returns them.
    fn open(&mut self) -> &mut Members {
        if let Self::Stored(text) = self {
            *self = Self::Open(Self::members(text));
        }
        match self {
            Self::Open(members) => members,
            Self::Stored(_) => unreachable!("opened above"),
        }
    }

    /// Parses every value, as [`all_of`](Self::all_of).
    pub(crate) fn all(&self) -> Map<String, Value> {
        self.all_of(|_| true)
    }

    /// Parses the members for whose names `keep` returns `true`. A value that is nested too deeply for the parser becomes `null`, and a
    /// warning is logged, because one such value must not make the others unreadable.
    pub(crate) fn all_of(&self, keep: impl Fn(&str) -> bool) -> Map<String, Value> {
        let kept = |(name, _): &(&str, _)| keep(name);
        let parse = |(key, text): (&str, &str)| {
            let value = serde_json::from_str(text).unwrap_or_else(|_| {
                tracing::warn!(key, "reading a stored value as null: it is nested too deeply");
                Value::Null
            });
            (key.to_owned(), value)
        };
        match self {
            Self::Stored(text) => Self::members(text).iter().filter(kept).map(parse).collect(),
            Self::Open(members) => members.iter().filter(kept).map(parse).collect(),
        }
    }

    /// Returns the JSON text of the value at `path`.
    pub(crate) fn raw(&self, path: Path<&str>) -> Option<&str> {
        self.walk(path, json::member)
    }

    /// Returns the JSON text of the value at `path` if objects alone contain it, which [`put`](Self::put) and
    /// [`forget`](Self::forget) can change.
    pub(crate) fn changeable(&self, path: Path<&str>) -> Option<&str> {
        self.walk(path, json::object_member)
    }

    /// Descends along `path` with `step`.
    fn walk<'v>(
        &'v self,
        path: Path<&str>,
        step: impl Fn(&'v str, &str) -> Option<&'v str>,
    ) -> Option<&'v str> {
        let mut segments = path.segments();
        let root = self.member(segments.next()?)?;
        segments.try_fold(root, step)
    }

    /// Returns the JSON text of the value at `path`. It shares the memory of these values.
    pub(crate) fn text(&self, path: Path<&str>) -> Option<ByteString> {
        let whole = match self {
            Self::Stored(text) => text,
            Self::Open(members) => members.get(path.root())?,
        };
        self.raw(path).map(|raw| whole.slice_ref(raw))
    }

    /// Returns the JSON text of the member `name`. Dots in `name` have no special meaning.
    pub(crate) fn member(&self, name: &str) -> Option<&str> {
        match self {
            Self::Stored(text) => json::member(text, name),
            Self::Open(members) => members.get(name).map(|text| &**text),
        }
    }

    /// Calls `visit` with the name and the JSON text of each member.
    pub(crate) fn each<'v>(&'v self, mut visit: impl FnMut(&str, &'v str)) {
        match self {
            Self::Stored(text) => {
                _ = each_member(text, |name, value| {
                    visit(&name, value);
                    Some(())
                });
            }
            Self::Open(members) => members.iter().for_each(|(name, value)| visit(name, value)),
        }
    }

    /// Deserializes the value at `path`. Returns `None` if it is missing or `null`. Parses no other
    /// value.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: Path<&str>) -> Result<Option<T>, Error> {
        decode(path.text(), self.raw(path))
    }

    /// Puts `value`, a JSON text, at `path`. Creates objects along the path that are missing or `null`.
    ///
    /// # Errors
    /// If a value along the path is not an object.
    pub(crate) fn put(&mut self, path: Path<&str>, value: ByteString) -> Result<(), Error> {
        if !path.is_nested() {
            self.open().insert(path.text(), value);
            return Ok(());
        }
        let parents = Parents::parse(self.open().get(path.root()).cloned(), path)?;
        let object = parents.change(|object, name| object.insert(name, value));
        self.open().insert(path.root(), object);
        Ok(())
    }

    /// Removes the value at `path`, if there is one. Removes members of objects only, and keeps entries
    /// of lists.
    pub(crate) fn forget(&mut self, path: Path<&str>) {
        if !path.is_nested() {
            self.open().remove(path.text());
            return;
        }
        if self.raw(path).is_none() {
            return;
        }
        let root = self.open().get(path.root()).cloned();
        let Ok(parents) = Parents::parse(root, path) else { return };
        let object = parents.change(Members::remove);
        self.open().insert(path.root(), object);
    }

    /// Adds `by` to the number at `path`, where a missing one or `null` counts as 0. Converts the sum with
    /// `read` and returns the result.
    ///
    /// # Errors
    /// If the value is not a number, the sum overflows, or `read` fails. The value is then unchanged.
    pub(crate) fn add<T>(
        &mut self,
        path: Path<&str>,
        by: Delta,
        read: impl FnOnce(&Number) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.open();
        let current = match self.raw(path) {
            None | Some("null") => Number::from(0),
            Some(text) => serde_json::from_str(text).map_err(|_| Kind::NotANumber {
                key: path.text().to_owned(),
                found: describe(text),
            })?,
        };
        let sum =
            by.add_to(&current).ok_or_else(|| Kind::Overflow { key: path.text().to_owned() })?;
        let read = read(&sum)?;
        self.put(path, json::encode_number(&sum))?;
        Ok(read)
    }

    /// Adds the members of `newer`. They replace members of the same name.
    pub(crate) fn extend(&mut self, mut newer: Self) {
        self.open().extend(std::mem::take(newer.open()));
    }

    /// Removes the members for whose names `keep` returns `false`.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&str) -> bool) {
        self.open().retain(keep);
    }

    /// Writes the JSON text. Unchanged values keep the text that was read.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Stored(text) => out.push_str(text),
            Self::Open(members) => members.write(out),
        }
    }

    /// Returns the approximate length of the JSON text.
    pub(crate) fn size_hint(&self) -> usize {
        match self {
            Self::Stored(text) => text.len(),
            Self::Open(members) => members.size_hint(),
        }
    }
}

/// Shows the size or the number of the values, because their contents are private.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored(text) => write!(f, "Values({} bytes)", text.len()),
            Self::Open(members) => write!(f, "Values({} members)", members.len()),
        }
    }
}

/// Serializes `value` as a JSON object. Errors name it `key`.
///
/// # Errors
/// If `value` cannot be serialized, or serializes to another type than an object.
pub(crate) fn encode_object<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Values, Error> {
    let text = encode(key, value)?;
    let found = describe(&text);
    Values::parse(text).ok_or_else(|| Kind::NotAnObject { key: key.to_owned(), found }.into())
}

/// The objects along a path, from the member of its first segment to the object that contains
/// its last segment.
struct Parents<'p> {
    /// The outer objects, outermost first, each with the name of the next object in it.
    outer: Vec<(Members, &'p str)>,
    innermost: Members,
    /// The last segment of the path.
    name: &'p str,
}

impl<'p> Parents<'p> {
    /// Parses the objects along `path`. `root` is the text of its outermost member. A missing object counts
    /// as an empty one.
    ///
    /// # Errors
    /// If one of the values is not an object. The error names its path.
    fn parse(root: Option<ByteString>, path: Path<&'p str>) -> Result<Self, Error> {
        let object = |text: Option<&ByteString>, depth: usize| {
            let Some(text) = text.filter(|text| **text != "null") else {
                return Ok(Members::default());
            };
            Members::parse(text).ok_or_else(|| {
                let key = path.segments().take(depth).collect::<Vec<_>>().join(".");
                Error::from(Kind::NotAnObject { key, found: describe(text) })
            })
        };
        let mut outer = Vec::new();
        let mut innermost = object(root.as_ref(), 1)?;
        let mut segments = path.segments().skip(1);
        let mut name = segments.next().unwrap_or_default();
        for (depth, next) in (2..).zip(segments) {
            let inner = object(innermost.get(name), depth)?;
            outer.push((std::mem::replace(&mut innermost, inner), name));
            name = next;
        }
        Ok(Self { outer, innermost, name })
    }

    /// Calls `change` with the innermost object and the last segment of the path. Returns the text of
    /// the outermost object after the change.
    fn change(mut self, change: impl FnOnce(&mut Members, &str)) -> ByteString {
        change(&mut self.innermost, self.name);
        let text = self.innermost.encode();
        self.outer.into_iter().rev().fold(text, |inner, (mut outer, name)| {
            outer.insert(name, inner);
            outer.encode()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{json, value::RawValue};

    use super::*;

    fn values(json: &Value) -> Values {
        stored(&json.to_string())
    }

    fn stored(text: &str) -> Values {
        Values::parse(text.into()).unwrap()
    }

    fn written(values: &Values) -> String {
        let mut text = String::new();
        values.write(&mut text);
        text
    }

    fn put(values: &mut Values, path: &str, value: &Value) -> Result<(), Error> {
        values.put(path.into(), encode(path, value)?)
    }

    #[test]
    fn falsy_values_survive() {
        let mut values = Values::default();
        for (key, value) in
            [("f", json!(false)), ("z", json!(0)), ("s", json!("")), ("l", json!([]))]
        {
            put(&mut values, key, &value).unwrap();
            assert_eq!(values.get::<Value>(key.into()).unwrap(), Some(value));
        }
    }

    #[test]
    fn dots_reach_into_objects_and_lists() {
        let mut values = values(&json!({"tags": ["a", {"b": 1}]}));
        put(&mut values, "user.settings.theme", &json!("dark")).unwrap();
        assert_eq!(values.all()["user"], json!({"settings": {"theme": "dark"}}));
        assert_eq!(values.get::<u8>("tags.1.b".into()).unwrap(), Some(1));
        values.forget("user.settings.theme".into());
        assert_eq!(values.all()["user"], json!({"settings": {}}));
        values.forget("tags.x.y".into());
        assert_eq!(values.get::<Value>("user.nothing.here".into()).unwrap(), None);
    }

    #[test]
    fn stored_and_opened_values_read_alike() {
        let text = r#"{"a":1,"\u0062":{"c":[1,{"d":null}]},"a":2,"":3}"#;
        let stored = stored(text);
        let mut opened = stored.clone();
        opened.open();
        for path in
            ["a", "b", "b.c", "b.c.1", "b.c.1.d", "b.c.2", "b.c.x", "", "x", "a.b", "b.c.1.d.e"]
        {
            assert_eq!(stored.raw(path.into()), opened.raw(path.into()), "{path}");
        }
        assert_eq!(stored.all(), opened.all());
        for (text, empty) in [("{}", true), ("{ \n}", true), ("{\"a\":1}", false)] {
            assert_eq!(Values::parse(text.into()).unwrap().is_empty(), empty);
        }
        assert!(Values::parse("[]".into()).is_none());
    }

    #[test]
    fn putting_below_a_string_names_the_string() {
        let mut values = values(&json!({"user": {"name": "virk"}}));
        let error = put(&mut values, "user.name.first", &json!("v")).unwrap_err();
        assert_eq!(error.code(), "not_an_object");
        assert!(error.to_string().contains("`user.name`"), "{error}");
        assert!(error.to_string().contains("a string"), "{error}");
    }

    #[test]
    fn a_value_that_nests_too_deeply_is_refused_or_read_as_null() {
        let nested = |depth: usize| {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            RawValue::from_string(text).unwrap()
        };
        assert!(encode("k", &nested(64)).is_ok());
        let error = encode("k", &nested(65)).unwrap_err();
        assert_eq!(error.code(), "encode");
        assert!(error.to_string().contains("`k`") && error.to_string().contains("64"), "{error}");
        assert!(encode("k", "[[[\\\"[[[").is_ok(), "brackets in a string do not nest");
        let stored = stored(&format!(r#"{{"a":1,"deep":{}}}"#, nested(200)));
        assert_eq!(json!(stored.all()), json!({"a": 1, "deep": null}));
    }

    #[test]
    fn untouched_values_keep_their_text() {
        let text = r#"{"a":1.0e2,"b":{ "spaced" : true }}"#;
        let mut values = stored(text);
        assert_eq!(written(&values), text);
        put(&mut values, "c", &json!(1)).unwrap();
        assert_eq!(written(&values), text.replace("}}", "},\"c\":1}"));
    }

    #[test]
    fn counting_starts_at_zero_and_requires_a_number() {
        let mut values = values(&json!({"name": "virk", "big": u64::MAX, "half": 0.5}));
        let mut add =
            |path: &str, by: i64| values.add(path.into(), Delta::Int(by), |sum| Ok(sum.clone()));
        assert_eq!(add("visits", 2).unwrap(), 2.into());
        assert_eq!(add("visits", 2).unwrap(), 4.into());
        assert_eq!(add("half", 1).unwrap().as_f64(), Some(1.5));
        assert_eq!(add("big", 1).unwrap_err().code(), "overflow");
        let error = add("name", 1).unwrap_err().to_string();
        assert!(error.contains("`name`") && error.contains("a string"), "{error}");
    }
}
