//! Values that end before their session does.

use serde::{Deserialize, Serialize};

use cloakroom_store::clock::Timestamp;

use crate::{
    record::Record,
    values::{
        Path,
        key::{Key, Notation},
    },
};

/// The moment at which a value ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ValueDeadline {
    key: Box<str>,
    /// Whether dots and brackets in the key are ordinary letters.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    literal: bool,
    at: Timestamp,
}

impl ValueDeadline {
    /// Returns the path of the value. Every deadline was made of a valid one.
    fn path(&self) -> Option<Path<&str>> {
        let notation = if self.literal { Notation::Literal } else { Notation::Dotted };
        Path::of_key(Key { text: &self.key, notation }).ok()
    }
}

impl Record {
    /// Sets the deadline of the value at `path`.
    pub(super) fn set_value_deadline(&mut self, path: Path<&str>, at: Timestamp) {
        self.forget_value_deadlines(path);
        let Key { text, notation } = path.key();
        let literal = notation == Notation::Literal && text.contains(['.', '[']);
        self.value_deadlines.push(ValueDeadline { key: text.into(), literal, at });
    }

    /// Returns whether the value at `path`, one in it or one around it has a deadline.
    pub(super) fn has_value_deadline(&self, path: Path<&str>) -> bool {
        self.value_deadlines.iter().filter_map(ValueDeadline::path).any(|had| had.overlaps(path))
    }

    /// Returns the deadlines of the value at `path` and of those in it. It also ends with a value around it.
    pub(crate) fn value_deadlines_of(&self, path: Path<&str>) -> Vec<(Path, Timestamp)> {
        let of_path = |deadline: &ValueDeadline| match deadline.path()? {
            had if had.is_in(path) => Some((had.to_owned(), deadline.at)),
            had if path.is_in(had) => Some((path.to_owned(), deadline.at)),
            _ => None,
        };
        self.value_deadlines.iter().filter_map(of_path).collect()
    }

    /// Removes the deadlines of the value at `path` and of those in it, because it is replaced or removed.
    pub(super) fn forget_value_deadlines(&mut self, path: Path<&str>) {
        self.value_deadlines.retain(|had| had.path().is_some_and(|had| !had.is_in(path)));
    }

    /// Removes the values whose deadlines have passed.
    pub(crate) fn end_values(&mut self, now: Timestamp) {
        if self.value_deadlines.iter().all(|deadline| now < deadline.at) {
            return;
        }
        let values = &mut self.values;
        self.value_deadlines.retain(|deadline| {
            let is_live = now < deadline.at;
            if let Some(path) = deadline.path().filter(|_| !is_live) {
                values.forget(path);
            }
            is_live
        });
    }
}
