//! Builds a tree of values from nested names, such as `user[name]`, `tags[]` and `items[0][quantity]`.
//!
//! 1. A field that is sent several times is a list.
//! 2. `[]` appends to a list. `[][name]` sets a member of the last entry, or of a new entry if the last
//!    one has this member already.
//! 3. `[word]` is a member of an object. An object whose members are numbered from 0 without a gap
//!    becomes a list.
//! 4. A name with an unclosed bracket is a plain name.

use serde_json::{Map, Value, map::Entry};

use crate::form::{
    field::brackets,
    form_error::{FormError, Problem},
    input::FormInput,
    limits::{MAX_DEPTH, MAX_FIELDS, check_name},
};

/// The fields that were inserted so far.
#[derive(Default)]
pub(super) struct Tree {
    root: Map<String, Value>,
    fields: usize,
}

/// One pair of brackets in a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Segment<'n> {
    Member(&'n str),
    Append,
}

impl Tree {
    /// Inserts one field.
    ///
    /// # Errors
    /// If a limit is exceeded, or the field is sent both as a value and with fields below it.
    pub(super) fn insert(&mut self, name: &str, value: String) -> Result<(), FormError> {
        self.fields += 1;
        if self.fields > MAX_FIELDS {
            return Err(Problem::TooManyFields(MAX_FIELDS).into());
        }
        check_name(name.len())?;
        let (root, rest) = segments(name)?;
        insert_below(self.root.entry(root), &rest, value)
            .ok_or_else(|| Problem::Contradiction(name.to_owned()).into())
    }

    /// Returns the form, with numbered members as lists.
    pub(super) fn finish(mut self) -> FormInput {
        self.root.values_mut().for_each(numbered_to_list);
        FormInput::of(self.root)
    }
}

/// Splits a name into its part before the brackets and the contents of the brackets.
fn segments(name: &str) -> Result<(&str, Vec<Segment<'_>>), FormError> {
    let closed = brackets(name)
        .filter(|(root, all)| !root.is_empty() && all.iter().all(|(_, behind)| behind.is_empty()));
    let Some((root, brackets)) = closed else { return Ok((name, Vec::new())) };
    if brackets.len() >= MAX_DEPTH {
        return Err(Problem::TooDeep(MAX_DEPTH).into());
    }
    let segment = |(inside, _)| match inside {
        "" => Segment::Append,
        inside => Segment::Member(inside),
    };
    Ok((root, brackets.into_iter().map(segment).collect()))
}

/// Inserts `value` below `entry`. Returns `None` if the field has a value where a segment needs an
/// object or a list.
fn insert_below(entry: Entry<'_>, segments: &[Segment<'_>], value: String) -> Option<()> {
    let empty = match segments {
        [] => return insert_value(entry, value),
        [Segment::Append, ..] => Value::Array(Vec::new()),
        [Segment::Member(_), ..] => Value::Object(Map::new()),
    };
    match (entry.or_insert(empty), segments) {
        (Value::Object(members), [Segment::Member(name), rest @ ..]) => {
            insert_below(members.entry(*name), rest, value)
        }
        (Value::Array(entries), [Segment::Append]) => {
            entries.push(Value::String(value));
            Some(())
        }
        (Value::Array(entries), [Segment::Append, Segment::Member(name), rest @ ..]) => {
            let lacks_member = |entry: &Value| {
                entry.as_object().is_some_and(|members| !members.contains_key(*name))
            };
            if !entries.last().is_some_and(lacks_member) {
                entries.push(Value::Object(Map::new()));
            }
            insert_below(entries.last_mut()?.as_object_mut()?.entry(*name), rest, value)
        }
        _ => None,
    }
}

/// Inserts a value. The first value of a field is text, and a second one turns the field into a list.
/// Returns `None` if the field is an object.
fn insert_value(entry: Entry<'_>, value: String) -> Option<()> {
    match entry {
        Entry::Vacant(entry) => _ = entry.insert(Value::String(value)),
        Entry::Occupied(mut entry) => match entry.get_mut() {
            Value::Object(_) => return None,
            Value::Array(entries) => entries.push(Value::String(value)),
            first => *first = Value::Array(vec![first.take(), Value::String(value)]),
        },
    }
    Some(())
}

/// Turns objects whose members are numbered from 0 without a gap into lists, at any depth.
fn numbered_to_list(value: &mut Value) {
    match value {
        Value::Array(entries) => entries.iter_mut().for_each(numbered_to_list),
        Value::Object(members) => {
            members.values_mut().for_each(numbered_to_list);
            let numbered: Option<Vec<_>> =
                (0..members.len()).map(|index| members.get(&index.to_string())).collect();
            if let Some(entries) = numbered {
                *value = entries.into_iter().cloned().collect();
            }
        }
        _ => (),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn read(query: &str) -> Value {
        json!(FormInput::from_query(query).unwrap().all())
    }

    #[test]
    fn nested_names_build_objects_and_lists() {
        for (query, expected) in [
            ("", json!({})),
            ("a=1&b=", json!({"a": "1", "b": ""})),
            ("a=1&a=2&a=3", json!({"a": ["1", "2", "3"]})),
            ("tags[]=x", json!({"tags": ["x"]})),
            ("tags[]=x&tags[]=y", json!({"tags": ["x", "y"]})),
            (
                "user[name]=v&user[mail][home]=h",
                json!({"user": {"name": "v", "mail": {"home": "h"}}}),
            ),
            ("user%5Bname%5D=v", json!({"user": {"name": "v"}})),
            ("i[0][q]=1&i[1][q]=2", json!({"i": [{"q": "1"}, {"q": "2"}]})),
            ("i[1]=b&i[0]=a", json!({"i": ["a", "b"]})),
            ("i[0]=a&i[2]=c", json!({"i": {"0": "a", "2": "c"}})),
            ("i[][q]=1&i[][n]=a&i[][n]=b", json!({"i": [{"q": "1", "n": "a"}, {"n": "b"}]})),
            ("a[b=1&[c]=2&d]=3", json!({"a[b": "1", "[c]": "2", "d]": "3"})),
            ("a.b=1", json!({"a.b": "1"})),
            ("__proto__[admin]=1", json!({"__proto__": {"admin": "1"}})),
        ] {
            assert_eq!(read(query), expected, "{query}");
        }
    }

    #[test]
    fn contradictions_and_exceeded_limits_are_named_errors() {
        let nested = |depth| format!("a{}=1", "[b]".repeat(depth));
        let (deep, long) = (nested(100), nested(100_000));
        let many = "a=1&".repeat(1_001);
        for (query, message) in [
            ("a=1&a[b]=2", "`a[b]`"),
            ("a[b]=2&a=1", "`a`"),
            ("a[]=1&a[b]=2", "`a[b]`"),
            (deep.as_str(), "16 deep"),
            (long.as_str(), "longer than 1024 bytes"),
            (many.as_str(), "1000 fields"),
        ] {
            let error = FormInput::from_query(query).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }

    proptest! {
        #[test]
        fn no_body_causes_a_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
            drop(FormInput::from_query(&String::from_utf8_lossy(&body)));
        }

        #[test]
        fn no_brackets_cause_a_panic(body in "([ab=&]|\\[|\\]|0|1){0,60}") {
            drop(FormInput::from_query(&body));
        }

        #[test]
        fn flat_fields_are_read_as_they_were_written(fields in prop::collection::btree_map("[a-z]{1,8}", ".{0,20}", 0..20)) {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(&fields).finish();
            prop_assert_eq!(read(&query), json!(fields));
        }
    }
}
