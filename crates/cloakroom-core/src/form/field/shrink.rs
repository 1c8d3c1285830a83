//! Removes the largest fields of a form that does not fit into the session.

use serde_json::{Map, Value};

/// Removes the largest fields until the form's JSON text is about `excess` bytes shorter. Returns the
/// number of removed fields, which is 0 if `excess` is 0 or the form has no fields.
///
/// A field is a value other than a list or an object, a list of such values, or an empty object. A
/// removed entry of a list becomes `null`, so that the other entries keep their indices.
pub(crate) fn remove_largest(members: &mut Map<String, Value>, excess: usize) -> usize {
    let mut sizes = Vec::new();
    each_field(members, &mut |size| {
        sizes.push(size);
        false
    });
    sizes.sort_unstable_by(|one, other| other.cmp(one));
    let mut removed_bytes = 0;
    let needed = sizes.iter().take_while(|size| {
        let is_needed = removed_bytes < excess;
        removed_bytes += **size;
        is_needed
    });
    let count = needed.count();
    let Some(smallest) = sizes[..count].last().copied() else { return 0 };
    // Fields of the smallest removed size may remain, so their number is counted down.
    let mut of_that_size = sizes[..count].iter().filter(|size| **size == smallest).count();
    each_field(members, &mut |size| {
        let is_one = size == smallest && of_that_size > 0;
        of_that_size -= usize::from(is_one);
        is_one || size > smallest
    });
    count
}

/// Calls `remove` with the size of each field, and removes the field if the call returns `true`.
fn each_field(members: &mut Map<String, Value>, remove: &mut dyn FnMut(usize) -> bool) {
    members.retain(|name, value| {
        let punctuation = r#""":,"#.len();
        if is_field(value) {
            return !remove(name.len() + size(value) + punctuation);
        }
        each_field_in(value, remove);
        true
    });
}

fn each_field_in(value: &mut Value, remove: &mut dyn FnMut(usize) -> bool) {
    match value {
        Value::Object(members) => each_field(members, remove),
        Value::Array(entries) => {
            for entry in entries.iter_mut().filter(|entry| !entry.is_null()) {
                if !is_field(entry) {
                    each_field_in(entry, remove);
                } else if remove(size(entry)) {
                    *entry = Value::Null;
                }
            }
        }
        _ => (),
    }
}

fn is_field(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty(),
        Value::Array(entries) => {
            entries.iter().all(|entry| !entry.is_array() && !entry.is_object())
        }
        _ => true,
    }
}

/// Returns the approximate length of the value's JSON text.
fn size(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len() + 2,
        other => other.to_string().len(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn without(form: &Value, excess: usize) -> (usize, Value) {
        let mut form = form.as_object().unwrap().clone();
        let count = remove_largest(&mut form, excess);
        (count, json!(form))
    }

    #[test]
    fn the_largest_fields_are_removed_first_at_any_depth() {
        let form = json!({"name": "v", "user": {"bio": "x".repeat(50), "city": "y".repeat(20)}});
        assert_eq!(without(&form, 1), (1, json!({"name": "v", "user": {"city": "y".repeat(20)}})));
        assert_eq!(without(&form, 70), (2, json!({"name": "v", "user": {}})));
        assert_eq!(without(&form, 9_999), (3, json!({"user": {}})));
        assert_eq!(without(&json!({"user": {}}), 1), (1, json!({})));
        assert_eq!(without(&json!({}), 1), (0, json!({})));
    }

    #[test]
    fn fields_of_equal_size_are_removed_only_as_needed() {
        let form = json!({"a": "xx", "b": "xx", "c": "xx", "d": "xx"});
        let (count, rest) = without(&form, 10);
        assert_eq!((count, rest.as_object().unwrap().len()), (2, 2));
    }

    #[test]
    fn a_list_is_one_field_and_entries_keep_their_indices() {
        let form = json!({"tags": ["aaa", "bbb"], "items": [{"n": "x".repeat(30)}, "y".repeat(40), {"n": 1}]});
        assert_eq!(without(&form, 43).1["items"], json!([{}, null, {"n": 1}]));
        let mut form = form.as_object().unwrap().clone();
        let mut rounds = 0;
        while remove_largest(&mut form, 1) > 0 {
            rounds += 1;
        }
        assert!(form.is_empty() && rounds < 12, "{rounds}: {form:?}");
    }
}
