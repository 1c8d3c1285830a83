//! The names of form fields: one reading of them for everything that stores, finds or drops a field.
//!
//! `user[name]`, `user.name` and `user[name][]` name the same field. So do `tags[]` and `tags`, and
//! `items[0][pin]` and `items.0.pin`. The dotted spelling is the one that is stored.
//!
//! 1. A name is split at dots and at brackets. Empty parts do not count.
//! 2. A name whose brackets do not close, or have text right behind them, is split at dots alone.
//! 3. Where fields are picked or dropped, numbers may be left out behind the first part: `items.pin` is
//!    the `pin` of every entry of `items`. A number that is given is that of an entry: `matrix[][0]` is
//!    `matrix.0`, the first row, because empty parts do not count. A name covers what is below it:
//!    `user` covers `user.name`.

mod shrink;
mod walk;

use std::borrow::Cow;

use serde_json::{Map, Value};

pub(crate) use shrink::remove_largest;
pub(crate) use walk::{Choice, find, retain};

/// Returns the parts of a name, of which there is one at least.
pub(crate) fn parts(name: &str) -> Vec<&str> {
    let mut parts = in_brackets(name).unwrap_or_else(|| name.split('.').collect());
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        parts.push("");
    }
    parts
}

/// Splits at dots and brackets. Returns `None` where the brackets do not fit.
fn in_brackets(name: &str) -> Option<Vec<&str>> {
    let (root, brackets) = brackets(name)?;
    let fits = |behind: &str| behind.is_empty() || behind.starts_with('.');
    let mut parts: Vec<_> = root.split('.').collect();
    for (inside, behind) in &brackets {
        parts.extend(inside.split('.').chain(behind.split('.')));
    }
    brackets.iter().all(|(_, behind)| fits(behind)).then_some(parts)
}

/// Takes a name apart at its brackets: what is before them, and for each what is in it and what is
/// between it and the next. Returns `None` where one does not close.
pub(crate) fn brackets(name: &str) -> Option<(&str, Vec<(&str, &str)>)> {
    let mut split = name.split('[');
    let root = split.next()?;
    split.map(|bracket| bracket.split_once(']')).collect::<Option<_>>().map(|all| (root, all))
}

/// Returns the dotted spelling of a name.
pub(crate) fn dotted(name: &str) -> Cow<'_, str> {
    if name.contains(['.', '[']) { Cow::Owned(parts(name).join(".")) } else { Cow::Borrowed(name) }
}

/// Returns whether a part is the number of a list's entry.
pub(crate) fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Calls `read` with the parts of a name.
fn with_parts<T>(name: &str, read: impl FnOnce(&[&str]) -> T) -> T {
    // Most names have one part, which needs no memory.
    if name.contains(['.', '[']) { read(&parts(name)) } else { read(&[name]) }
}

/// What remains of the path to a field that a call names.
#[derive(Clone, Copy)]
struct FieldPath<'p, 'n> {
    rest: &'p [&'n str],
    /// Whether it is below the first part of the field's name, where numbers may be left out.
    is_below: bool,
}

impl<'p, 'n> FieldPath<'p, 'n> {
    fn to(field: &'p [&'n str]) -> Self {
        Self { rest: field, is_below: false }
    }

    /// Returns what remains behind a child whose name has these parts, or nothing where the path leads
    /// elsewhere.
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

    /// Returns whether it leads no further, so that it covers what is here.
    fn covers(&self) -> bool {
        self.rest.is_empty()
    }
}

/// The fields that a call names.
pub(crate) struct Fields<'n>(Vec<Vec<&'n str>>);

impl<'n> Fields<'n> {
    pub(crate) fn named(names: &[&'n str]) -> Self {
        Self(names.iter().map(|name| parts(name)).collect())
    }

    fn paths(&self) -> Vec<FieldPath<'_, 'n>> {
        self.0.iter().map(|field| FieldPath::to(field)).collect()
    }

    /// Returns whether one of the fields is `field`, or has it within.
    pub(crate) fn cover(&self, field: &str) -> bool {
        behind(&self.paths(), field).iter().any(FieldPath::covers)
    }

    /// Returns the named fields alone. Where a part of a list is picked, the entries keep their
    /// numbers, as names.
    pub(crate) fn only(&self, members: &Map<String, Value>) -> Map<String, Value> {
        pick_members(members, &self.paths())
    }

    /// Removes the named fields. An entry of a list becomes `null`, so that the others keep their
    /// numbers.
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

/// Returns what remains of the paths that lead to a child of this name, or below it.
fn behind<'p, 'n>(paths: &[FieldPath<'p, 'n>], name: &str) -> Vec<FieldPath<'p, 'n>> {
    with_parts(name, |parts| paths.iter().filter_map(|path| path.behind(parts)).collect())
}

fn pick_members(members: &Map<String, Value>, paths: &[FieldPath<'_, '_>]) -> Map<String, Value> {
    let picked =
        |(name, value): (&String, &Value)| Some((name.clone(), pick(value, &behind(paths, name))?));
    members.iter().filter_map(picked).collect()
}

/// Returns what paths lead to in `value`, if anything.
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

    #[test]
    fn a_field_has_one_name_however_it_is_spelled() {
        for (name, same) in [
            ("plain", "plain"),
            ("user.name", "user.name"),
            ("address[city]", "address.city"),
            ("items[0][quantity]", "items.0.quantity"),
            ("user.tags[1].city", "user.tags.1.city"),
            ("[0].name", "0.name"),
            ("tags[]", "tags"),
            ("items[][pin]", "items.pin"),
            ("user[a.b]", "user.a.b"),
            ("a..b.", "a.b"),
            ("a[b", "a[b"),
            ("a.b[c", "a.b[c"),
            ("a[b]c", "a[b]c"),
            ("d]", "d]"),
            ("", ""),
            (".", ""),
            ("[]", ""),
        ] {
            assert_eq!(dotted(name), same, "{name}");
            assert_eq!(dotted(&dotted(name)), same, "{name}");
        }
    }

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
    fn fields_are_found_by_each_spelling_in_text_and_in_values() {
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
    fn named_fields_are_dropped_below_lists_as_well() {
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
    fn named_fields_are_picked_below_lists_as_well() {
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

    /// What a visitor writes into one name is what others write into several levels.
    #[test]
    fn numbers_may_be_left_out_within_a_name_as_between_names() {
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
    fn a_number_behind_empty_brackets_is_that_of_an_entry() {
        let form = json!({"matrix": [[1, 2], [3, 4]]});
        let mut rest = form.as_object().unwrap().clone();
        Fields::named(&["matrix[][0]"]).remove_from(&mut rest);
        assert_eq!(json!(rest), json!({"matrix": [null, [3, 4]]}));
    }

    #[test]
    fn a_named_field_covers_the_errors_below_it() {
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
