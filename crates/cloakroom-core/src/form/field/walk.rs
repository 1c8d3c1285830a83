//! Walking what a form or a flash holds, as values or as text that is not parsed yet.

use serde_json::{Map, Value};

use crate::form::field::with_parts;
use crate::values::{Values, each_entry, each_member};

/// What has others within: members by their names, entries of lists by their numbers.
pub(crate) trait Node {
    type Child: Node<Child = Self::Child>;

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

/// The text of any JSON value.
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

/// Returns what is at `path`, if anything. A member whose own name is the whole path comes first.
pub(crate) fn find<N: Node>(parent: N, path: &[&str]) -> Option<N::Child> {
    let (mut here, mut below) = (None, None);
    parent.each_child(|name, child| {
        // Where a field is looked up, numbers are not left out.
        let rest = |parts: &[&str]| path.starts_with(parts).then(|| &path[parts.len()..]);
        match with_parts(name, rest) {
            Some([]) => here = Some(child),
            Some(rest) if below.is_none() => below = find(child, rest),
            Some(_) | None => (),
        }
    });
    here.or(below)
}

/// What becomes of a child.
pub(crate) enum Choice<S> {
    Keep,
    /// A member is removed, an entry of a list becomes `null`.
    Drop,
    /// It is kept, and this is what is known for the choice within it.
    Descend(S),
}

/// Keeps what `choose` keeps, at any depth. `choose` gets what is known of the place, and a child's
/// name.
pub(crate) fn retain<S>(
    members: &mut Map<String, Value>,
    place: &S,
    choose: &impl Fn(&S, &str) -> Choice<S>,
) {
    members.retain(|name, value| match choose(place, name) {
        Choice::Keep => true,
        Choice::Drop => false,
        Choice::Descend(within) => {
            retain_within(value, &within, choose);
            true
        }
    });
}

fn retain_within<S>(value: &mut Value, place: &S, choose: &impl Fn(&S, &str) -> Choice<S>) {
    match value {
        Value::Object(members) => retain(members, place, choose),
        Value::Array(entries) => {
            for (index, entry) in entries.iter_mut().enumerate() {
                match choose(place, itoa::Buffer::new().format(index)) {
                    Choice::Keep => (),
                    Choice::Drop => *entry = Value::Null,
                    Choice::Descend(within) => retain_within(entry, &within, choose),
                }
            }
        }
        _ => (),
    }
}
