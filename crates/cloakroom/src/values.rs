//! A session's values: a JSON object whose members stay as they were written until someone asks.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{
    Map, Number, Value,
    value::{RawValue, to_raw_value},
};

use crate::{
    error::{Error, Kind},
    number::Delta,
};

/// An object one level deep: names, and each value as the JSON text that was stored.
///
/// Keys are paths. A dot descends: `user.theme` is the member `theme` of the object `user`; below a
/// list a number picks an entry (reading only).
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Values(BTreeMap<Box<str>, Box<RawValue>>);

impl Values {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Every value, parsed.
    pub(crate) fn all(&self) -> Map<String, Value> {
        self.0.iter().map(|(key, raw)| (key.to_string(), parse_stored(raw))).collect()
    }

    /// The stored text at `path`.
    pub(crate) fn raw(&self, path: &str) -> Option<Box<RawValue>> {
        let mut segments = path.split('.');
        let root = self.0.get(segments.next()?)?;
        let mut here: &RawValue = root;
        for segment in segments {
            here = member(here, segment)?;
        }
        Some(here.to_owned())
    }

    /// The value at `path`, deserialized from its own text alone; `null` is an absence.
    pub(crate) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Error> {
        match self.0.get(path) {
            Some(raw) => decode(path, raw),
            None => self.raw(path).map_or(Ok(None), |raw| decode(path, &raw)),
        }
    }

    /// Puts a value at `path`, making the objects on the way.
    pub(crate) fn put(&mut self, path: &str, value: Box<RawValue>) -> Result<(), Error> {
        self.put_below(path, 0, value)
    }

    /// `start` is where in `path` this object's own member begins; what comes before is the way here.
    fn put_below(&mut self, path: &str, start: usize, value: Box<RawValue>) -> Result<(), Error> {
        let Some((head, _)) = path[start..].split_once('.') else {
            self.0.insert(path[start..].into(), value);
            return Ok(());
        };
        let end = start + head.len();
        let mut inner = match self.0.get(head) {
            None => Self::default(),
            Some(raw) => object(raw).ok_or_else(|| Kind::NotAnObject {
                key: path[..end].to_owned(),
                found: describe(raw),
            })?,
        };
        inner.put_below(path, end + 1, value)?;
        self.0.insert(head.into(), encode(path, &inner)?);
        Ok(())
    }

    /// Removes what is at `path`, if anything is.
    pub(crate) fn forget(&mut self, path: &str) {
        let Some((head, rest)) = path.split_once('.') else {
            self.0.remove(path);
            return;
        };
        let Some(mut inner) = self.0.get(head).and_then(|raw| object(raw)) else { return };
        inner.forget(rest);
        if let Ok(raw) = to_raw_value(&inner) {
            self.0.insert(head.into(), raw);
        }
    }

    /// The number at `path` with `by` added; a missing one counts as 0.
    pub(crate) fn sum(&self, path: &str, by: Delta) -> Result<Number, Error> {
        let current = match self.raw(path) {
            None => Number::from(0),
            Some(raw) => serde_json::from_str(raw.get())
                .map_err(|_| Kind::NotANumber { key: path.to_owned(), found: describe(&raw) })?,
        };
        by.add_to(&current).ok_or_else(|| Kind::Overflow { key: path.to_owned() }.into())
    }

    /// Lays `newer` over these values, member by member.
    pub(crate) fn extend(&mut self, newer: Self) {
        self.0.extend(newer.0);
    }

    /// Drops the members that `newer` has as well.
    pub(crate) fn remove_members_of(&mut self, newer: &Self) {
        self.0.retain(|key, _| !newer.0.contains_key(key));
    }

    /// These values without the members that `keep` rejects.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|key, _| keep(key));
    }
}

/// Serializes `value`; the error names `key`.
pub(crate) fn encode<T: Serialize + ?Sized>(key: &str, value: &T) -> Result<Box<RawValue>, Error> {
    to_raw_value(value).map_err(|cause| Kind::Encode { key: key.to_owned(), cause }.into())
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

/// A stored text is valid JSON but may be nested deeper than a `Value` can be; then it reads as null.
fn parse_stored(raw: &RawValue) -> Value {
    serde_json::from_str(raw.get()).unwrap_or_default()
}

fn object(raw: &RawValue) -> Option<Values> {
    serde_json::from_str(raw.get()).ok()
}

fn member<'a>(parent: &'a RawValue, segment: &str) -> Option<&'a RawValue> {
    if parent.get().starts_with('[') {
        let entries: Vec<&RawValue> = serde_json::from_str(parent.get()).ok()?;
        return entries.get(segment.parse::<usize>().ok()?).copied();
    }
    let mut members: BTreeMap<String, &RawValue> = serde_json::from_str(parent.get()).ok()?;
    members.remove(segment)
}

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
    fn putting_below_a_string_names_the_string() {
        let mut it = values(&json!({"user": {"name": "virk"}}));
        let error = put(&mut it, "user.name.first", &json!("v")).unwrap_err();
        assert_eq!(error.code(), "not_an_object");
        assert!(error.to_string().contains("`user.name`"), "{error}");
        assert!(error.to_string().contains("a string"), "{error}");
    }

    #[test]
    fn untouched_values_keep_their_text() {
        let text = r#"{"a":1.0e2,"b":{ "spaced" : true }}"#;
        let it: Values = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&it).unwrap(), text);
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
