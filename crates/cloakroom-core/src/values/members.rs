//! A JSON object that is parsed one level deep.

use std::{borrow::Cow, mem};

use bytestring::ByteString;

use crate::values::json::{each_member, write_string};

/// The names of the members and the JSON text of each value. Both are slices of the parsed text until
/// they are changed.
///
/// Invariant: sorted by name, and each name occurs once.
#[derive(Clone, Default)]
pub(crate) struct Members(Vec<(ByteString, ByteString)>);

impl Members {
    /// Parses the text of an object. Returns `None` if the text is not an object. Of several members
    /// with one name it keeps the last, as JSON parsers do (RFC 8259, 4).
    pub(super) fn parse(text: &ByteString) -> Option<Self> {
        let mut members = Vec::new();
        each_member(text, |name, value| {
            let name = match name {
                Cow::Borrowed(name) => text.slice_ref(name),
                Cow::Owned(name) => name.into(),
            };
            members.push((name, text.slice_ref(value)));
            Some(())
        })?;
        Some(Self::from_unordered(members))
    }

    /// Sorts the members by name. Of several with one name it keeps the last.
    fn from_unordered(mut members: Vec<(ByteString, ByteString)>) -> Self {
        if !members.is_sorted_by(|(one, _), (next, _)| one < next) {
            members.reverse();
            members.sort_by(|(one, _), (other, _)| one.cmp(other));
            members.dedup_by(|(one, _), (other, _)| one == other);
        }
        Self(members)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|(member, _)| (**member).cmp(name))
    }

    pub(super) fn get(&self, name: &str) -> Option<&ByteString> {
        self.find(name).ok().map(|index| &self.0[index].1)
    }

    pub(super) fn insert(&mut self, name: &str, value: ByteString) {
        match self.find(name) {
            Ok(index) => self.0[index].1 = value,
            Err(index) => self.0.insert(index, (name.into(), value)),
        }
    }

    pub(super) fn remove(&mut self, name: &str) {
        if let Ok(index) = self.find(name) {
            self.0.remove(index);
        }
    }

    /// Adds the members of `newer`. They replace members of the same name.
    pub(super) fn extend(&mut self, newer: Self) {
        let mut members = mem::take(&mut self.0);
        members.extend(newer.0);
        *self = Self::from_unordered(members);
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    /// Returns the length of the JSON text. Does not count escapes in names.
    pub(super) fn size_hint(&self) -> usize {
        let size = |(name, value): (&str, &str)| r#""":"#.len() + name.len() + value.len();
        let commas = self.len().saturating_sub(1);
        "{}".len() + commas + self.iter().map(size).sum::<usize>()
    }

    /// Returns the JSON text.
    pub(super) fn encode(&self) -> ByteString {
        let mut text = String::with_capacity(self.size_hint());
        self.write(&mut text);
        text.into()
    }

    /// Writes the JSON text.
    pub(super) fn write(&self, out: &mut String) {
        out.push('{');
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write_string(out, name);
            out.push(':');
            out.push_str(value);
        }
        out.push('}');
    }
}
