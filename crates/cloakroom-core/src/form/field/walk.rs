//! Walks the fields of forms and flash messages, both as parsed values and as JSON text.

use serde_json::{Map, Value};

use crate::form::field::name::with_parts;
use crate::values::{Values, each_entry, each_member};

/// A value with children: the members of an object by name, or the entries of a list by index.
pub(crate) trait Node {
    type Child: Node<Child = Self::Child>;

    /// Calls `visit` with the name and the value of each child.
    fn each_child(self, visit: impl FnMut(&str, Self::Child));
}

impl<'v> Node for &'v Map<String, Value> {
    type Child = &'v Value;

    fn each_child(self, mut visit: impl FnMut(&str, &'v Value)) {
        self.iter().for_each(|(name, value)| visit(name, value));
    }
}

impl<'v> Node for &'v Value {
    type Child = &'v Value;

    fn each_child(self, mut visit: impl FnMut(&str, &'v Value)) {
        match self {
            Value::Object(members) => members.each_child(visit),
            Value::Array(entries) => {
                for (index, entry) in entries.iter().enumerate() {
                    visit(itoa::Buffer::new().format(index), entry);
                }
            }
            _ => (),
        }
    }
}

impl<'t> Node for &'t Values {
    type Child = &'t str;

    fn each_child(self, visit: impl FnMut(&str, &'t str)) {
        self.each(visit);
    }
}

/// The text of a JSON value.
impl<'t> Node for &'t str {
    type Child = &'t str;

    fn each_child(self, mut visit: impl FnMut(&str, &'t str)) {
        if self.starts_with('[') {
            let mut index = 0_usize;
            _ = each_entry(self, |entry| {
                visit(itoa::Buffer::new().format(index), entry);
                index += 1;
                Some(())
            });
        } else {
            _ = each_member(self, |name, value| {
                visit(&name, value);
                Some(())
            });
        }
    }
}

/// Returns the value at `path`. Prefers a child whose name is the whole path to values on deeper levels.
pub(crate) fn find<N: Node>(parent: N, path: &[&str]) -> Option<N::Child> {
    let (mut here, mut below) = (None, None);
    parent.each_child(|name, child| {
        // A lookup needs every index of the path, unlike a call that picks or removes fields.
        let rest = |parts: &[&str]| path.starts_with(parts).then(|| &path[parts.len()..]);
        match with_parts(name, rest) {
            Some([]) => here = Some(child),
            Some(rest) if below.is_none() => below = find(child, rest),
            Some(_) | None => (),
        }
    });
    here.or(below)
}

/// The decision on one child.
pub(crate) enum Choice<S> {
    Keep,
    /// Removes a member, and turns an entry of a list into `null`.
    Drop,
    /// Keeps the child and decides on its children. `S` is the state for these decisions.
    Descend(S),
}

/// Removes the values that `choose` drops, at any depth. `choose` gets the state of the parent and the
/// name of the child.
pub(crate) fn retain<S>(
    members: &mut Map<String, Value>,
    state: &S,
    choose: &impl Fn(&S, &str) -> Choice<S>,
) {
    members.retain(|name, value| match choose(state, name) {
        Choice::Keep => true,
        Choice::Drop => false,
        Choice::Descend(state) => {
            retain_in(value, &state, choose);
            true
        }
    });
}

fn retain_in<S>(value: &mut Value, state: &S, choose: &impl Fn(&S, &str) -> Choice<S>) {
    match value {
        Value::Object(members) => retain(members, state, choose),
        Value::Array(entries) => {
            for (index, entry) in entries.iter_mut().enumerate() {
                match choose(state, itoa::Buffer::new().format(index)) {
                    Choice::Keep => (),
                    Choice::Drop => *entry = Value::Null,
                    Choice::Descend(state) => retain_in(entry, &state, choose),
                }
            }
        }
        _ => (),
    }
}
