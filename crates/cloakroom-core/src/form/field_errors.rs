//! Error messages for the visitor, by field.

use std::{
    collections::{BTreeMap, HashMap, btree_map},
    fmt,
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::form::field::{dotted, remove_largest};

/// Error messages by field.
///
/// Return them from the check of an [`Input`](crate::Input), or flash them with
/// [`Session::with_errors`](crate::Session::with_errors).
///
/// Nested fields have dotted names: `user.name`, `items.0.quantity`. Adding and looking up also accept
/// the spelling of the form, such as `items[0][quantity]` and `tags[]`. The messages of a field keep
/// their order, and a repeated message is dropped. A session keeps the errors of 100 fields, the first
/// by name.
///
/// Serializes as an object with a list of messages for each field: `{"username": ["is taken"]}`.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::form::FieldErrors;
///
/// let mut errors = FieldErrors::new();
/// errors.add("username", "is taken");
/// errors.add("username", "is too short");
/// assert_eq!(errors.messages_for("username"), ["is taken", "is too short"]);
/// assert_eq!(errors.to_string(), "username is taken");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Vec<String>>", into = "BTreeMap<String, Vec<String>>")]
pub struct FieldErrors(BTreeMap<String, Vec<String>>);

/// One message for one field.
///
/// A list of them becomes [`FieldErrors`]. Serializes as `{"field": "username", "message": "is taken"}`.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::form::{FieldError, IntoFieldErrors};
///
/// let error = FieldError { field: "username".into(), message: "is taken".into() };
/// assert_eq!(vec![error].into_field_errors().len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldError {
    /// The name of the field, dotted or spelled as in the form.
    pub field: String,
    /// The message for the visitor.
    pub message: String,
}

impl FieldErrors {
    /// Returns an empty collection.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// assert!(cloakroom::form::FieldErrors::new().is_empty());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message for `field`, unless the field has the same message already.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// let mut errors = cloakroom::form::FieldErrors::new();
    /// errors.add("user[name]", "is required");
    /// errors.add("user.name", "is required");
    /// assert_eq!(errors.messages_for("user.name"), ["is required"]);
    /// ```
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) {
        let (field, message) = (field.into(), message.into());
        let messages = self.0.entry(dotted(&field).into_owned()).or_default();
        if !messages.contains(&message) {
            messages.push(message);
        }
    }

    /// Adds the messages of `newer`.
    pub(crate) fn extend(&mut self, newer: Self) {
        for (field, messages) in newer.0 {
            for message in messages {
                self.add(field.as_str(), message);
            }
        }
    }

    /// Removes the last fields until `self` and `others` have at most `max_fields` fields together.
    /// Returns the number of removed fields.
    pub(crate) fn limit(&mut self, max_fields: usize, others: &Self) -> usize {
        let before = self.0.len();
        let mut room = max_fields.saturating_sub(others.0.len());
        self.0.retain(|field, _| {
            let is_new = !others.0.contains_key(field);
            let fits = !is_new || room > 0;
            room -= usize::from(is_new && fits);
            fits
        });
        before - self.0.len()
    }

    /// Removes the fields with the longest messages until the JSON text is about `excess` bytes shorter.
    /// Returns the number of removed fields, which is 0 if there are no errors.
    pub(crate) fn remove_largest(&mut self, excess: usize) -> usize {
        let errors = std::mem::take(&mut self.0).into_iter();
        let mut errors = errors.map(|(field, messages)| (field, messages.into())).collect();
        let removed = remove_largest(&mut errors, excess);
        let rest = errors
            .into_iter()
            .filter_map(|(field, messages)| Some((field, serde_json::from_value(messages).ok()?)));
        self.0 = rest.collect();
        removed
    }

    /// Removes the fields for whose dotted names `keep` returns `false`.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.0.retain(|field, _| keep(field));
    }

    /// Returns the messages by dotted name.
    pub(crate) fn into_map(self) -> BTreeMap<String, Vec<String>> {
        self.0
    }

    /// Returns the messages for `field` in the order in which they were added. Returns an empty slice if
    /// the field has no error.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::form::IntoFieldErrors;
    ///
    /// let errors = [("tags", "has too many entries")].into_field_errors();
    /// assert_eq!(errors.messages_for("tags[]"), ["has too many entries"]);
    /// assert!(errors.messages_for("name").is_empty());
    /// ```
    pub fn messages_for(&self, field: &str) -> &[String] {
        self.0.get(&*dotted(field)).map_or(&[], Vec::as_slice)
    }

    /// Returns whether no field has an error.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::form::IntoFieldErrors;
    ///
    /// assert!(![("name", "is taken")].into_field_errors().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the number of fields with errors. A field with several messages counts once.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::form::IntoFieldErrors;
    ///
    /// let errors = [("name", "is taken"), ("name", "is short"), ("age", "is required")];
    /// assert_eq!(errors.into_field_errors().len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Reads errors from JSON, such as the reply of another service. Returns `None` for any other shape
    /// than these two:
    /// - a list of objects: `[{"field": "name", "message": "is required"}]`
    /// - an object with a message or a list of messages for each field: `{"name": "is required"}`
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::form::FieldErrors;
    ///
    /// let list = serde_json::json!([{ "field": "name", "message": "is required" }]);
    /// let object = serde_json::json!({ "name": "is required" });
    /// assert_eq!(FieldErrors::from_json(&list), FieldErrors::from_json(&object));
    /// ```
    #[must_use]
    pub fn from_json(json: &Value) -> Option<Self> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Messages {
            One(String),
            Many(Vec<String>),
        }
        if json.is_array() {
            return Some(Vec::<FieldError>::deserialize(json).ok()?.into_field_errors());
        }
        let fields = BTreeMap::<String, Messages>::deserialize(json).ok()?;
        let all = fields.into_iter().map(|(field, messages)| match messages {
            Messages::One(message) => (field, vec![message]),
            Messages::Many(messages) => (field, messages),
        });
        Some(all.collect::<BTreeMap<_, _>>().into())
    }
}

/// Shows the first message of the first field. [`FieldErrors::len`] returns the number of fields.
impl fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.iter().next() {
            None => f.write_str("no errors"),
            Some((field, messages)) => {
                write!(f, "{field} {}", messages.first().map_or("is invalid", String::as_str))
            }
        }
    }
}

impl std::error::Error for FieldErrors {}

impl From<BTreeMap<String, Vec<String>>> for FieldErrors {
    fn from(errors: BTreeMap<String, Vec<String>>) -> Self {
        let mut all = Self::new();
        all.extend(Self(errors));
        all
    }
}

impl From<FieldErrors> for BTreeMap<String, Vec<String>> {
    fn from(errors: FieldErrors) -> Self {
        errors.into_map()
    }
}

impl IntoIterator for FieldErrors {
    type Item = (String, Vec<String>);
    type IntoIter = btree_map::IntoIter<String, Vec<String>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<F: Into<String>, M: Into<String>> FromIterator<(F, M)> for FieldErrors {
    fn from_iter<I: IntoIterator<Item = (F, M)>>(pairs: I) -> Self {
        let mut errors = Self::new();
        for (field, message) in pairs {
            errors.add(field, message);
        }
        errors
    }
}

/// Errors that convert into [`FieldErrors`], so that
/// [`Session::with_errors`](crate::Session::with_errors) accepts them.
///
/// Pairs of field and message, maps, and lists of [`FieldError`] implement it. The features `validator`,
/// `validator_0_20` and `garde` add the errors of these crates. Implement it for the errors of your own
/// validation.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::form::{FieldErrors, IntoFieldErrors};
///
/// enum SignUpError { Taken }
///
/// impl IntoFieldErrors for SignUpError {
///     fn into_field_errors(self) -> FieldErrors {
///         [("username", "is taken")].into_field_errors()
///     }
/// }
/// # let session = cloakroom::testing::session();
/// session.with_errors(SignUpError::Taken)?;
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be converted into errors by field",
    note = "pairs `(field, message)`, maps from fields to messages, lists of `FieldError` and `FieldErrors` can",
    note = "the errors of the crates validator and garde can with the feature `validator` or `garde`, which \
            `cloakroom install` adds",
    note = "implement `IntoFieldErrors` for other errors"
)]
pub trait IntoFieldErrors {
    /// Converts the errors.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::form::IntoFieldErrors;
    ///
    /// let errors = [("name", "is required")].into_field_errors();
    /// assert_eq!(errors.messages_for("name"), ["is required"]);
    /// ```
    fn into_field_errors(self) -> FieldErrors;
}

impl IntoFieldErrors for FieldErrors {
    fn into_field_errors(self) -> FieldErrors {
        self
    }
}

impl IntoFieldErrors for &FieldErrors {
    fn into_field_errors(self) -> FieldErrors {
        self.clone()
    }
}

impl IntoFieldErrors for Vec<FieldError> {
    fn into_field_errors(self) -> FieldErrors {
        self.into_iter().map(|error| (error.field, error.message)).collect()
    }
}

impl<F: Into<String>, M: Into<String>, const N: usize> IntoFieldErrors for [(F, M); N] {
    fn into_field_errors(self) -> FieldErrors {
        self.into_iter().collect()
    }
}

impl<F: Into<String>, M: Into<String>> IntoFieldErrors for Vec<(F, M)> {
    fn into_field_errors(self) -> FieldErrors {
        self.into_iter().collect()
    }
}

impl<F: Into<String>, M: Into<String>> IntoFieldErrors for BTreeMap<F, M> {
    fn into_field_errors(self) -> FieldErrors {
        self.into_iter().collect()
    }
}

impl<F: Into<String>, M: Into<String>, S> IntoFieldErrors for HashMap<F, M, S> {
    fn into_field_errors(self) -> FieldErrors {
        self.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_shape_converts_to_the_same_errors() {
        let expected: FieldErrors = [("name", "is required")].into_iter().collect();
        let pair = || ("name".to_owned(), "is required".to_owned());
        let shapes = [
            [("name", "is required")].into_field_errors(),
            vec![("name", "is required")].into_field_errors(),
            BTreeMap::from([pair()]).into_field_errors(),
            HashMap::from([pair()]).into_field_errors(),
            (&expected).into_field_errors(),
            FieldErrors::from_json(&json!([{"field": "name", "message": "is required"}])).unwrap(),
            FieldErrors::from_json(&json!({"name": "is required"})).unwrap(),
            FieldErrors::from_json(&json!({"name": ["is required"]})).unwrap(),
        ];
        assert!(shapes.iter().all(|shape| *shape == expected));
        for none in [json!([]), json!({}), json!({"a": []})] {
            assert_eq!(FieldErrors::from_json(&none), Some(FieldErrors::new()), "{none}");
        }
        for other in [json!(1), json!("x"), json!([1]), json!({"a": 1}), json!(null)] {
            assert_eq!(FieldErrors::from_json(&other), None, "{other}");
        }
    }

    #[test]
    fn the_first_fields_fit_beside_existing_ones() {
        let all = |names: &[&str]| names.iter().map(|name| (*name, "x")).collect::<FieldErrors>();
        for (there, added, kept) in [
            (&[] as &[_], &["a", "b", "c", "d"] as &[_], &["a", "b", "c"] as &[_]),
            (&["b", "x"], &["a", "b", "c"], &["a", "b"]),
            (&["x", "y", "z"], &["a", "z"], &["z"]),
        ] {
            let mut errors = all(added);
            assert_eq!(errors.limit(3, &all(there)), added.len() - kept.len());
            assert_eq!(errors, all(kept));
        }
    }

    #[test]
    fn the_longest_errors_are_removed_first() {
        let mut errors = FieldErrors::new();
        for (field, message) in [("a", "long and longer"), ("a", "more"), ("b", "short"), ("c", "")]
        {
            errors.add(field, message);
        }
        assert_eq!(
            (errors.remove_largest(10), json!(errors)),
            (1, json!({"b": ["short"], "c": [""]}))
        );
        assert_eq!((errors.remove_largest(99), errors.remove_largest(1)), (2, 0));
    }

    #[test]
    fn spellings_of_a_field_share_their_messages() {
        let mut errors = FieldErrors::new();
        for (field, message) in [("a[b]", "x"), ("a.b", "z"), ("a[b][]", "x"), ("a.b", "y")] {
            errors.add(field, message);
        }
        for name in ["a[b]", "a.b", "a[b][]"] {
            assert_eq!(errors.messages_for(name), ["x", "z", "y"], "{name}");
        }
        assert_eq!(json!(errors), json!({"a.b": ["x", "z", "y"]}));
        let read: FieldErrors =
            serde_json::from_value(json!({"a[b]": ["x", "x"], "c": []})).unwrap();
        assert_eq!(json!(read), json!({"a.b": ["x"]}));
    }
}
