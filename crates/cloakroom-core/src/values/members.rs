//! A JSON object that is taken apart one level deep.

use std::{borrow::Cow, mem};

use bytestring::ByteString;

use crate::values::json::{each_member, write_string};

/// Names, and the text of each value: slices of the text that they were read from, until they are
/// changed.
///
/// Invariant: in the order of their names, each of which is there once.
#[derive(Clone, Default)]
pub(crate) struct Members(Vec<(ByteString, ByteString)>);

impl Members {
    /// Takes an object's text apart; nothing where it is not the text of an object. Of several
    /// members of one name the last counts, as everywhere in JSON.
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

    /// Lays `newer` over these members.
    pub(super) fn extend(&mut self, newer: Self) {
        let mut members = mem::take(&mut self.0);
        members.extend(newer.0);
        *self = Self::from_unordered(members);
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        self.0.retain(|(name, _)| keep(name));
    }

    /// Returns how long the text is, but for escapes in names.
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
