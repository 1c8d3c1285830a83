//! Finds, picks and removes form fields by their names. All code that handles field names uses this
//! module, so that every spelling of a name has the same meaning everywhere.
//!
//! `user[name]`, `user.name` and `user[name][]` name the same field. So do `tags[]` and `tags`, and
//! `items[0][pin]` and `items.0.pin`. Field errors are stored under the dotted spelling.
//!
//! 1. A name is split at dots and at brackets. Empty parts are ignored.
//! 2. A name is split at dots only if a bracket is unclosed, or text follows a bracket without a dot.
//! 3. Names of fields to pick or remove may omit the indices of entries behind the first part:
//!    `items.pin` is the `pin` of every entry of `items`. An index in the name selects one entry.
//!    `matrix[][0]` is `matrix.0`, the first row, because empty parts are ignored.
//! 4. A name includes the fields below it: `user` includes `user.name`.

mod name;
mod shrink;
mod walk;

use serde_json::{Map, Value};

pub use name::CSRF_FIELD;
use name::with_parts;
pub(crate) use name::{brackets, dotted, is_number, parts};
pub(crate) use shrink::remove_largest;
pub(crate) use walk::{Choice, find, retain};

/// The rest of the path from a value to a named field below it.
#[derive(Clone, Copy)]
struct FieldPath<'p, 'n> {
    rest: &'p [&'n str],
    /// Whether the path has passed the first part of the name. From there on, indices may be omitted.
    is_below: bool,
}

impl<'p, 'n> FieldPath<'p, 'n> {
    fn to(field: &'p [&'n str]) -> Self {
        Self { rest: field, is_below: false }
    }

    /// Returns the rest of the path from a child whose name has these parts. Returns `None` if the child
    /// is not on the path.
    fn behind(self, parts: &[&str]) -> Option<Self> {
        parts.iter().try_fold(self, |path, part| path.step(part))
    }

    fn step(self, part: &str) -> Option<Self> {
        let rest = match self.rest {
            [] => self.rest,
            [first, rest @ ..] if *first == part => rest,
            [first, ..] if self.is_below && is_number(part) && !is_number(first) => self.rest,
            _ => return None,
        };
        Some(Self { rest, is_below: true })
    }

    /// Returns whether the path ends here, so that the field includes the whole value.
    fn covers(&self) -> bool {
        self.rest.is_empty()
    }
}

/// A list of named fields.
pub(crate) struct Fields<'n>(Vec<Vec<&'n str>>);

impl<'n> Fields<'n> {
    pub(crate) fn named(names: &[&'n str]) -> Self {
        Self(names.iter().map(|name| parts(name)).collect())
    }

    fn paths(&self) -> Vec<FieldPath<'_, 'n>> {
        self.0.iter().map(|field| FieldPath::to(field)).collect()
    }

    /// Returns whether `field` is one of the named fields or below one of them.
    pub(crate) fn cover(&self, field: &str) -> bool {
        behind(&self.paths(), field).iter().any(FieldPath::covers)
    }

    /// Returns the named fields only. If only some entries of a list are named, the result has an object
    /// in place of the list. The names of its members are the indices of the entries.
    pub(crate) fn only(&self, members: &Map<String, Value>) -> Map<String, Value> {
        pick_members(members, &self.paths())
    }

    /// Removes the named fields. A removed entry of a list becomes `null`, so that the other entries keep
    /// their indices.
    pub(crate) fn remove_from(&self, members: &mut Map<String, Value>) {
        retain(members, &self.paths(), &|paths, name| {
            let below = behind(paths, name);
            if below.is_empty() {
                Choice::Keep
            } else if below.iter().any(FieldPath::covers) {
                Choice::Drop
            } else {
                Choice::Descend(below)
            }
        });
    }
}

/// Returns the rest of each path that leads to a child of this name or below it.
fn behind<'p, 'n>(paths: &[FieldPath<'p, 'n>], name: &str) -> Vec<FieldPath<'p, 'n>> {
    with_parts(name, |parts| paths.iter().filter_map(|path| path.behind(parts)).collect())
}

fn pick_members(members: &Map<String, Value>, paths: &[FieldPath<'_, '_>]) -> Map<String, Value> {
    let picked =
        |(name, value): (&String, &Value)| Some((name.clone(), pick(value, &behind(paths, name))?));
    members.iter().filter_map(picked).collect()
}

/// Returns the parts of `value` to which paths lead. Returns `None` if there are none.
fn pick(value: &Value, paths: &[FieldPath<'_, '_>]) -> Option<Value> {
    if paths.is_empty() {
        return None;
    }
    if paths.iter().any(FieldPath::covers) {
        return Some(value.clone());
    }
    let picked = match value {
        Value::Object(members) => pick_members(members, paths),
        Value::Array(entries) => {
            let numbered = entries.iter().enumerate().filter_map(|(index, entry)| {
                let index = index.to_string();
                let picked = pick(entry, &behind(paths, &index))?;
                Some((index, picked))
            });
            let picked: Vec<_> = numbered.collect();
            if picked.len() == entries.len() && !picked.is_empty() {
                return Some(picked.into_iter().map(|(_, entry)| entry).collect());
            }
            picked.into_iter().collect()
        }
        _ => return None,
    };
    (!picked.is_empty()).then_some(Value::Object(picked))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::values::encode_object;

    fn form() -> Map<String, Value> {
        let form = json!({
            "user": {"name": "v", "pin": 1},
            "items": [{"pin": 1, "q": 1}, {"pin": 2, "q": 2}],
            "sparse": {"3": {"pin": 1, "q": 1}},
            "tags": ["a", "b"],
            "a.b": 1,
            "d[e].f": 1,
            "9": {"pin": 1},
        });
        form.as_object().unwrap().clone()
    }

    #[test]
    fn fields_are_found_by_every_spelling_in_text_and_values() {
        let (values, text) = (form(), encode_object("form", &form()).unwrap());
        for (name, expected) in [
            ("user.name", json!("v")),
            ("user[name]", json!("v")),
            ("tags[]", json!(["a", "b"])),
            ("tags.1", json!("b")),
            ("tags[1]", json!("b")),
            ("items[1][pin]", json!(2)),
            ("a.b", json!(1)),
            ("a[b]", json!(1)),
            ("d.e.f", json!(1)),
            ("items.2.pin", json!(null)),
            ("items.pin", json!(null)),
            ("user.name.x", json!(null)),
            ("x", json!(null)),
        ] {
            let found = find(&values, &parts(name)).cloned().unwrap_or_default();
            assert_eq!(found, expected, "{name}");
            let found = find(&text, &parts(name)).map(|raw| serde_json::from_str(raw).unwrap());
            assert_eq!(found.unwrap_or(Value::Null), expected, "{name}");
        }
    }

    #[test]
    fn named_fields_are_removed_below_lists_too() {
        let without = |names: &[&str]| {
            let mut form = form();
            Fields::named(names).remove_from(&mut form);
            json!(form)
        };
        let every = without(&["items[][pin]", "sparse.pin", "user[pin]", "tags[]", "a[b]", "d[e]"]);
        let expected = json!({
            "user": {"name": "v"},
            "items": [{"q": 1}, {"q": 2}],
            "sparse": {"3": {"q": 1}},
            "9": {"pin": 1},
        });
        assert_eq!(every, expected);
        let one = without(&["items.0.pin", "tags.0"]);
        assert_eq!(one["items"], json!([{"q": 1}, {"pin": 2, "q": 2}]));
        assert_eq!(one["tags"], json!([null, "b"]));
        assert_eq!(without(&["user.name.x", "pin", ""]), json!(form()));
    }

    #[test]
    fn named_fields_are_picked_below_lists_too() {
        let only = |names: &[&str]| json!(Fields::named(names).only(&form()));
        assert_eq!(
            only(&["user[name]", "tags[]"]),
            json!({"user": {"name": "v"}, "tags": ["a", "b"]})
        );
        assert_eq!(only(&["items[][q]"]), json!({"items": [{"q": 1}, {"q": 2}]}));
        assert_eq!(
            only(&["items[1][q]", "tags.1"]),
            json!({"items": {"1": {"q": 2}}, "tags": {"1": "b"}})
        );
        assert_eq!(only(&["a", "d[e]"]), json!({"a.b": 1, "d[e].f": 1}));
        assert_eq!(only(&["user.name.x", "pin"]), json!({}));
    }

    /// A visitor may send several levels in one name.
    #[test]
    fn indices_may_be_omitted_within_names_and_between_them() {
        let named = Fields::named(&["items[][answer]"]);
        for form in [
            json!({"items.0.answer": 42}),
            json!({"items": {"0.answer": 42}}),
            json!({"items.0": {"answer": 42}}),
            json!({"items": [{"answer": 42}]}),
            json!({"items.0.1.answer": {"deep": 42}}),
        ] {
            let mut rest = form.as_object().unwrap().clone();
            assert_eq!(json!(named.only(&rest)), form);
            named.remove_from(&mut rest);
            assert!(!json!(rest).to_string().contains("42"), "{rest:?}");
        }
        let form = json!({"0.answer": 1, "items.x.answer": 1, "items.0.answers": 1, "answer": 1});
        assert_eq!(named.only(form.as_object().unwrap()), Map::new());
    }

    #[test]
    fn a_number_behind_empty_brackets_selects_an_entry() {
        let form = json!({"matrix": [[1, 2], [3, 4]]});
        let mut rest = form.as_object().unwrap().clone();
        Fields::named(&["matrix[][0]"]).remove_from(&mut rest);
        assert_eq!(json!(rest), json!({"matrix": [null, [3, 4]]}));
    }

    #[test]
    fn a_named_field_includes_the_errors_below_it() {
        let covers = |name: &str, field: &str| Fields::named(&[name]).cover(field);
        for (name, field) in [
            ("user", "user.name"),
            ("items[]", "items.0.q"),
            ("items[][q]", "items.0.q"),
            ("items[][q]", "items.0.1.q.r"),
            ("a[b]", "a.b"),
        ] {
            assert!(covers(name, field), "{name} {field}");
        }
        for (name, field) in [("user.name", "user"), ("q", "0.q"), ("items.1.q", "items.0.q")] {
            assert!(!covers(name, field), "{name} {field}");
        }
    }
}
