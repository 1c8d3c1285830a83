//! A session's values: a JSON object whose members stay as they were written until someone asks.

mod json;
pub(crate) mod key;
mod members;
pub(crate) mod number;
mod path;

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

/// Names, and each value as the JSON text that was stored.
///
/// Keys are paths. A dot descends: `user.theme` is the member `theme` of the object `user`; below a
/// list a number picks an entry (reading only).
#[derive(Clone)]
pub(crate) enum Values {
    /// The text of a JSON object. Nobody has changed anything, and reading walks it.
    Stored(ByteString),
    /// Taken apart, one level deep.
    Open(Members),
}

impl Default for Values {
    fn default() -> Self {
        Self::Open(Members::default())
    }
}

impl Values {
    /// Takes a valid JSON text; nothing where it is not that of an object.
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

    /// The members, to be changed.
    fn open(&mut self) -> &mut Members {
        if let Self::Stored(text) = self {
            *self = Self::Open(Members::parse(text).unwrap_or_default());
        }
        match self {
            Self::Open(members) => members,
            Self::Stored(_) => unreachable!("opened above"),
        }
    }

    /// Returns every value, parsed. One that is nested too deeply to be parsed is `null`, with a
    /// warning, and hides no other.
    pub(crate) fn all(&self) -> Map<String, Value> {
        let parse = |(key, text): (&str, &str)| {
            let value = serde_json::from_str(text).unwrap_or_else(|_| {
                tracing::warn!(key, "a stored value is nested too deeply and reads as null");
                Value::Null
            });
            (key.to_owned(), value)
        };
        match self {
            Self::Stored(text) => {
                Members::parse(text).unwrap_or_default().iter().map(parse).collect()
            }
            Self::Open(members) => members.iter().map(parse).collect(),
        }
    }

    /// The stored text at `path`.
    pub(crate) fn raw(&self, path: Path<&str>) -> Option<&str> {
        let (root, below) = path.split_root();
        let root = self.member(root)?;
        below.map_or(Some(root), |below| below.split('.').try_fold(root, json::member))
    }

    /// The stored text of the member `name`, whatever dots it has.
    pub(crate) fn member(&self, name: &str) -> Option<&str> {
        match self {
            Self::Stored(text) => json::member(text, name),
            Self::Open(members) => members.get(name).map(|text| &**text),
        }
    }

    /// Visits the members, as they are stored.
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

    /// The value at `path`, deserialized from its own text alone; `null` is an absence.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: Path<&str>) -> Result<Option<T>, Error> {
        self.raw(path).map_or(Ok(None), |text| decode(path.text(), text))
    }

    /// Puts a value, which is a JSON text, at `path`, making the objects on the way.
    pub(crate) fn put(&mut self, path: Path<&str>, value: ByteString) -> Result<(), Error> {
        let (root, Some(below)) = path.split_root() else {
            self.open().insert(path.text(), value);
            return Ok(());
        };
        let way = Way::open(self.open().get(root).cloned(), path.text(), below)?;
        let object = way.close(|last, name| last.insert(name, value));
        self.open().insert(root, object);
        Ok(())
    }

    /// Removes what is at `path`, if anything is.
    pub(crate) fn forget(&mut self, path: Path<&str>) {
        let (root, Some(below)) = path.split_root() else {
            self.open().remove(path.text());
            return;
        };
        if self.raw(path).is_none() {
            return;
        }
        // An entry of a list stays: it has no name.
        let Ok(way) = Way::open(self.open().get(root).cloned(), path.text(), below) else { return };
        let object = way.close(Members::remove);
        self.open().insert(root, object);
    }

    /// Adds `by` to the number at `path`; a missing one counts as 0. Returns what `read` makes of the
    /// sum. Where that is an error the value stays.
    pub(crate) fn add<T>(
        &mut self,
        path: Path<&str>,
        by: Delta,
        read: impl FnOnce(&Number) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.open();
        let current = match self.raw(path) {
            None => Number::from(0),
            Some(text) => serde_json::from_str(text).map_err(|_| Kind::NotANumber {
                key: path.text().to_owned(),
                found: describe(text),
            })?,
        };
        let sum =
            by.add_to(&current).ok_or_else(|| Kind::Overflow { key: path.text().to_owned() })?;
        let read = read(&sum)?;
        self.put(path, json::number(&sum))?;
        Ok(read)
    }

    /// Lays `newer` over these values, member by member.
    pub(crate) fn extend(&mut self, mut newer: Self) {
        self.open().extend(std::mem::take(newer.open()));
    }

    /// These values without the members that `keep` rejects.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&str) -> bool) {
        self.open().retain(keep);
    }

    /// Writes the JSON text. What nobody changed is written as it was read.
    pub(crate) fn write(&self, out: &mut String) {
        match self {
            Self::Stored(text) => out.push_str(text),
            Self::Open(members) => members.write(out),
        }
    }

    /// Returns about how long the text is.
    pub(crate) fn size_hint(&self) -> usize {
        match self {
            Self::Stored(text) => text.len(),
            Self::Open(members) => members.size_hint(),
        }
    }
}

/// Shows how many there are.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stored(text) => write!(f, "Values({} bytes)", text.len()),
            Self::Open(members) => write!(f, "Values({} members)", members.len()),
        }
    }
}

/// Serializes `value`, which has to become a JSON object.
pub(crate) fn encode_object<T: Serialize + ?Sized>(what: &str, value: &T) -> Result<Values, Error> {
    let text = encode(what, value)?;
    let found = describe(&text);
    Values::parse(text).ok_or_else(|| Kind::NotAnObject { key: what.to_owned(), found }.into())
}

/// The objects that a path leads through below its first member.
struct Way<'p> {
    /// The outermost comes first. Each with the name of the next in it.
    outer: Vec<(Members, &'p str)>,
    last: Members,
    /// The last segment of the path.
    name: &'p str,
}

impl<'p> Way<'p> {
    /// Takes apart the objects that lie on the way from `root`, where the path's part `below` begins.
    /// What is missing begins as an empty object.
    fn open(root: Option<ByteString>, path: &'p str, below: &'p str) -> Result<Self, Error> {
        let mut end = path.len() - below.len() - ".".len();
        let object = |text: Option<&ByteString>, end: usize| {
            let Some(text) = text else { return Ok(Members::default()) };
            Members::parse(text).ok_or_else(|| {
                Error::from(Kind::NotAnObject {
                    key: path[..end].to_owned(),
                    found: describe(text),
                })
            })
        };
        let mut outer = Vec::new();
        let mut last = object(root.as_ref(), end)?;
        let mut segments = below.split('.');
        let mut name = segments.next().unwrap_or_default();
        for next in segments {
            end += ".".len() + name.len();
            let inner = object(last.get(name), end)?;
            outer.push((std::mem::replace(&mut last, inner), name));
            name = next;
        }
        Ok(Self { outer, last, name })
    }

    /// Changes the innermost object and puts all together again. Returns the text of the outermost.
    fn close(mut self, change: impl FnOnce(&mut Members, &str)) -> ByteString {
        change(&mut self.last, self.name);
        let text = self.last.encode();
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
        let mut it = Values::default();
        for (key, value) in
            [("f", json!(false)), ("z", json!(0)), ("s", json!("")), ("l", json!([]))]
        {
            put(&mut it, key, &value).unwrap();
            assert_eq!(it.get::<Value>(key.into()).unwrap(), Some(value));
        }
    }

    #[test]
    fn dots_reach_into_objects_and_lists() {
        let mut it = values(&json!({"tags": ["a", {"b": 1}]}));
        put(&mut it, "user.settings.theme", &json!("dark")).unwrap();
        assert_eq!(it.all()["user"], json!({"settings": {"theme": "dark"}}));
        assert_eq!(it.get::<u8>("tags.1.b".into()).unwrap(), Some(1));
        it.forget("user.settings.theme".into());
        assert_eq!(it.all()["user"], json!({"settings": {}}));
        it.forget("tags.x.y".into());
        assert_eq!(it.get::<Value>("user.nothing.here".into()).unwrap(), None);
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
        let stored = stored(&format!(r#"{{"a":1,"deep":{}}}"#, nested(200)));
        assert_eq!(json!(stored.all()), json!({"a": 1, "deep": null}));
    }

    #[test]
    fn untouched_values_keep_their_text() {
        let text = r#"{"a":1.0e2,"b":{ "spaced" : true }}"#;
        let mut it = stored(text);
        assert_eq!(written(&it), text);
        put(&mut it, "c", &json!(1)).unwrap();
        assert_eq!(written(&it), text.replace("}}", "},\"c\":1}"));
    }

    #[test]
    fn counting_starts_at_zero_and_refuses_what_is_no_number() {
        let mut it = values(&json!({"name": "virk", "big": u64::MAX, "half": 0.5}));
        let mut add =
            |path: &str, by: i64| it.add(path.into(), Delta::Int(by), |sum| Ok(sum.clone()));
        assert_eq!(add("visits", 2).unwrap(), 2.into());
        assert_eq!(add("visits", 2).unwrap(), 4.into());
        assert_eq!(add("half", 1).unwrap().as_f64(), Some(1.5));
        assert_eq!(add("big", 1).unwrap_err().code(), "overflow");
        let error = add("name", 1).unwrap_err().to_string();
        assert!(error.contains("`name`") && error.contains("a string"), "{error}");
    }
}
