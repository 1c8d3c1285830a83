//! The form that a visitor sent.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::form::{
    field::{self, CSRF_FIELD, Fields},
    field_errors::FieldErrors,
    secret_fields::SecretFields,
    text,
};

/// The fields that a visitor sent, as one JSON object.
///
/// Handlers usually take [`Input`](crate::Input), which reads the body, deserializes it and sends the
/// visitor back with errors. Use `FormInput` to read fields without declaring a type for the form.
///
/// Fields of HTML forms are text. A field that is sent several times is a list, and nested names such as
/// `user[name]` build objects. A JSON body keeps its types. Files are skipped.
#[derive(Clone, Default, PartialEq)]
pub struct FormInput(Map<String, Value>);

impl FormInput {
    pub(crate) fn of(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    /// Returns all fields, including secret ones.
    ///
    /// To show the form again, use [`flashable`](Self::flashable), which leaves out passwords.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::form::FormInput;
    /// let input = FormInput::from_query("name=Virk")?;
    /// assert_eq!(input.all()["name"], "Virk");
    /// # Ok::<(), cloakroom::form::FormError>(())
    /// ```
    pub fn all(&self) -> &Map<String, Value> {
        &self.0
    }

    /// Returns the field with this name, in any spelling: `user[name]` or `user.name`, and `tags[1]` or
    /// `tags.1` for an entry of a list.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::form::FormInput;
    /// let input = FormInput::from_query("user[name]=Virk&tags=a&tags=b")?;
    /// assert_eq!(input.get("user.name").unwrap(), "Virk");
    /// assert_eq!(input.get("tags.1").unwrap(), "b");
    /// # Ok::<(), cloakroom::form::FormError>(())
    /// ```
    pub fn get(&self, name: &str) -> Option<&Value> {
        field::find(&self.0, &field::parts(name))
    }

    /// Returns the named fields only.
    ///
    /// Names are spelled as in the form (`user[name]`) or with dots (`user.name`). A name without an index
    /// selects every entry of a list: `items[][quantity]` is the quantity of each item. Empty brackets
    /// are ignored, so `matrix[][0]` is `matrix.0`, the first row.
    ///
    /// If only some entries of a list are named, the result has an object in place of the list. The names
    /// of its members are the indices of the entries.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::form::FormInput;
    /// let input = FormInput::from_query("a=1&b=2&user[name]=v&user[age]=1")?;
    /// let picked = input.only(&["a", "user.name"]);
    /// assert_eq!(serde_json::json!(picked), serde_json::json!({"a": "1", "user": {"name": "v"}}));
    /// # Ok::<(), cloakroom::form::FormError>(())
    /// ```
    pub fn only(&self, fields: &[&str]) -> Map<String, Value> {
        Fields::named(fields).only(&self.0)
    }

    /// Returns all fields except the named ones and the [secret](SecretFields::DEFAULT) ones.
    ///
    /// Names are spelled as in [`only`](Self::only). An entry of a list that is left out becomes `null`,
    /// so that the other entries keep their indices.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::form::FormInput;
    /// let input = FormInput::from_query("a=1&b=2&password=secret")?;
    /// assert_eq!(input.except(&["b"]).keys().collect::<Vec<_>>(), ["a"]);
    /// # Ok::<(), cloakroom::form::FormError>(())
    /// ```
    pub fn except(&self, fields: &[&str]) -> Map<String, Value> {
        self.without(fields, &SecretFields::default())
    }

    /// Returns all fields except the named ones and those in `secret`.
    pub(crate) fn without(&self, fields: &[&str], secret: &SecretFields) -> Map<String, Value> {
        let mut rest = self.0.clone();
        Fields::named(fields).remove_from(&mut rest);
        secret.remove_from(&mut rest);
        rest
    }

    /// Returns the fields that a page may show again: all except the
    /// [secret](SecretFields::DEFAULT) ones.
    ///
    /// # Security
    /// A secret in a field whose name matches no pattern is included. Name it in
    /// [`except`](Self::except).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::form::FormInput;
    /// let input = FormInput::from_query("name=Virk&user[password]=secret&_csrf=x")?;
    /// assert_eq!(serde_json::json!(input.flashable()), serde_json::json!({"name": "Virk", "user": {}}));
    /// # Ok::<(), cloakroom::form::FormError>(())
    /// ```
    pub fn flashable(&self) -> Map<String, Value> {
        self.except(&[])
    }

    /// Returns the text of the field [`CSRF_FIELD`], which is the CSRF token.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::form::FormInput;
    /// assert_eq!(FormInput::from_query("_csrf=abc")?.csrf_token(), Some("abc"));
    /// # Ok::<(), cloakroom::form::FormError>(())
    /// ```
    pub fn csrf_token(&self) -> Option<&str> {
        self.0.get(CSRF_FIELD)?.as_str()
    }

    /// Deserializes the form into a `T`.
    ///
    /// Text is converted to the types of `T`, because HTML forms send nothing else:
    ///
    /// | type | accepted text |
    /// |---|---|
    /// | number | a number, also with spaces around it |
    /// | `bool` | `on`, `true`, `yes` and `1` for true; `off`, `false`, `no`, `0` and empty text for false |
    /// | `Option` | empty text for `None` |
    /// | list | one value for a list with one entry |
    ///
    /// A struct gets the field [`CSRF_FIELD`] only if it has a field of this name, so it may
    /// `deny_unknown_fields`.
    ///
    /// # Errors
    /// If a field is missing or has the wrong type. The error has the first such field, under its dotted
    /// name, and quotes nothing that the visitor sent.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::form::FormInput;
    /// #[derive(serde::Deserialize)]
    /// struct SignUp { age: u8 }
    ///
    /// assert_eq!(FormInput::from_query("age=44")?.deserialize::<SignUp>()?.age, 44);
    /// let errors = FormInput::from_query("")?.deserialize::<SignUp>().err().unwrap();
    /// assert_eq!(errors.messages_for("age"), ["is required"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn deserialize<T: DeserializeOwned>(&self) -> Result<T, FieldErrors> {
        text::deserialize(&self.0)
    }
}

/// Shows the names of the fields, because their values may be secret.
impl fmt::Debug for FormInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormInput")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}
