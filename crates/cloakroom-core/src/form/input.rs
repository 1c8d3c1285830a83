//! The form as the visitor sent it.

use std::fmt;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::form::field::{self, Fields};
use crate::form::{CSRF_FIELD, FieldErrors, SecretFields, text};

/// What a visitor sent, as a JSON object: text stays text, repeated fields are lists, nested names
/// are objects, and a JSON body is as it came. Files are not kept.
#[derive(Clone, Default, PartialEq)]
pub struct FormInput(Map<String, Value>);

impl FormInput {
    pub(crate) fn of(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    /// Everything that was sent.
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

    /// Returns the field of this name, however it is spelled: `user[name]` or `user.name`, and
    /// `tags.1` or `tags[1]` for an entry of a list.
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

    /// The named fields alone. A field may be spelled as in the form (`user[name]`) or with dots.
    /// Numbers may be left out: `items[][quantity]` is the quantity of every entry. Empty brackets do
    /// not count, so `matrix[][0]` is `matrix.0`, the first row. Where a part of a list is picked, its
    /// entries keep their numbers, as names.
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

    /// All but the named fields and those that are secret by their name, at any depth, as
    /// [`SecretFields::default`] has them. Fields are named as in [`only`](Self::only). An entry of a
    /// list becomes `null`, so that the others keep their numbers.
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

    /// All but the named fields and the secret ones.
    pub(crate) fn without(&self, fields: &[&str], secret: &SecretFields) -> Map<String, Value> {
        let mut rest = self.0.clone();
        Fields::named(fields).remove_from(&mut rest);
        secret.remove_from(&mut rest);
        rest
    }

    /// What may be shown in the form again: everything but the fields that are secret by their
    /// name, as [`SecretFields::default`] has them.
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

    /// The CSRF token in the form.
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

    /// The form as a `T`: text turns into the numbers, booleans and options that `T` asks for.
    /// `on`, `true`, `yes` and `1` are true, `off`, `false`, `no`, `0` and nothing are false; empty
    /// text is no option; one value is a list of one.
    ///
    /// # Errors
    /// When it is none; the first problem, under the dotted name of its field.
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

/// The names that were sent, without what was sent in them.
impl fmt::Debug for FormInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FormInput")?;
        f.debug_set().entries(self.0.keys()).finish()
    }
}
