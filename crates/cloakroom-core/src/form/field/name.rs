//! Parses the names of form fields.

use std::borrow::Cow;

/// The name of the form field for the CSRF token.
///
/// [`View::csrf_field`](crate::View::csrf_field) writes this field into a form.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// assert_eq!(cloakroom::form::CSRF_FIELD, "_csrf");
/// ```
pub const CSRF_FIELD: &str = "_csrf";

/// Splits a name into its parts. Returns at least one part, which may be empty.
pub(crate) fn parts(name: &str) -> Vec<&str> {
    let mut parts = in_brackets(name).unwrap_or_else(|| name.split('.').collect());
    parts.retain(|part| !part.is_empty());
    if parts.is_empty() {
        parts.push("");
    }
    parts
}

/// Splits a name at dots and brackets. Returns `None` if a bracket is unclosed, or text follows it
/// without a dot.
fn in_brackets(name: &str) -> Option<Vec<&str>> {
    let (root, brackets) = brackets(name)?;
    let is_separated = |behind: &str| behind.is_empty() || behind.starts_with('.');
    let mut parts: Vec<_> = root.split('.').collect();
    for (inside, behind) in &brackets {
        parts.extend(inside.split('.').chain(behind.split('.')));
    }
    brackets.iter().all(|(_, behind)| is_separated(behind)).then_some(parts)
}

/// Splits a name at its brackets. Returns the text before the first bracket, and for each pair of
/// brackets the text inside and the text up to the next pair. Returns `None` if a bracket is unclosed.
pub(crate) fn brackets(name: &str) -> Option<(&str, Vec<(&str, &str)>)> {
    let mut split = name.split('[');
    let root = split.next()?;
    split.map(|bracket| bracket.split_once(']')).collect::<Option<_>>().map(|all| (root, all))
}

/// Returns the dotted spelling of a name.
pub(crate) fn dotted(name: &str) -> Cow<'_, str> {
    if name.contains(['.', '[']) { Cow::Owned(parts(name).join(".")) } else { Cow::Borrowed(name) }
}

/// Returns whether a part of a name is the index of a list entry.
pub(crate) fn is_number(part: &str) -> bool {
    !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit())
}

/// Calls `read` with the parts of a name.
pub(super) fn with_parts<T>(name: &str, read: impl FnOnce(&[&str]) -> T) -> T {
    // Most names have one part, which needs no allocation.
    if name.contains(['.', '[']) { read(&parts(name)) } else { read(&[name]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_name_has_one_dotted_form() {
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
}
