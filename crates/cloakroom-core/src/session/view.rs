//! The view helpers: what a template may ask of the session.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

use crate::{
    form::{
        CSRF_FIELD,
        field::{find, parts},
    },
    session::Session,
    values::Values,
};

/// Old input, errors, messages and the CSRF field, for templates of any kind: a cheap value with
/// plain methods, which Askama and Maud call as they are. The features `minijinja` and
/// `tera` make them functions of these engines.
///
/// Asking for flash consumes it: the next page starts without. All text comes from the visitor or
/// may quote one, so let the template escape it.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # let session = cloakroom::testing::session();
/// let view = session.view();
/// assert_eq!(view.old("username", "guest"), "guest");
/// assert!(!view.has_error_for("username"));
/// assert!(view.csrf_field().starts_with("<input type=\"hidden\""));
/// ```
#[derive(Clone)]
pub struct View(Session);

impl View {
    pub(crate) fn of(session: Session) -> Self {
        Self(session)
    }

    /// What the visitor had typed into the field `key`, as text, or `default`. Every helper takes a
    /// field's name as the form has it or with dots: `user[name]` and `user.name` are one field.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.view().old("username", ""), "");
    /// ```
    pub fn old(&self, key: &str, default: &str) -> String {
        text_or(self.old_value(key), default)
    }

    /// What the visitor had typed, as it came: a list for a repeated field, an object for nested
    /// names.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.view().old_value("tags"), None);
    /// ```
    pub fn old_value(&self, key: &str) -> Option<Value> {
        look_up(&self.0.read_flash()?.input, key)
    }

    /// The flash message `key`, as text, or `default`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.view().flash_message("notification", "none"), "none");
    /// ```
    pub fn flash_message(&self, key: &str, default: &str) -> String {
        text_or(self.flash_value(key), default)
    }

    /// The flash message `key`, as it was flashed.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.flash_now(serde_json::json!({ "undo": { "id": 7 } }))?;
    /// assert_eq!(session.view().flash_value("undo.id"), Some(7.into()));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn flash_value(&self, key: &str) -> Option<Value> {
        look_up(&self.0.read_flash()?.messages, key)
    }

    /// Every flash message.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.view().messages().is_empty());
    /// ```
    pub fn messages(&self) -> Map<String, Value> {
        self.0.read_flash().map(|it| it.messages.all()).unwrap_or_default()
    }

    /// Everything that the visitor had typed.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.view().input().is_empty());
    /// ```
    pub fn input(&self) -> Map<String, Value> {
        self.0.read_flash().map(|it| it.input.all()).unwrap_or_default()
    }

    /// Whether there is an error for `field`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(!session.view().has_error_for("username"));
    /// ```
    pub fn has_error_for(&self, field: &str) -> bool {
        self.0.read_flash().is_some_and(|it| !it.errors.messages_for(field).is_empty())
    }

    /// The first error message for `field`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.view().get_error_for("username"), None);
    /// ```
    pub fn get_error_for(&self, field: &str) -> Option<String> {
        self.0.read_flash()?.errors.messages_for(field).first().cloned()
    }

    /// Every error message, by the field's dotted name: `user.name` for `user[name]`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.view().errors().is_empty());
    /// ```
    pub fn errors(&self) -> BTreeMap<String, Vec<String>> {
        self.0.read_flash().map(|it| it.errors.clone().into_map()).unwrap_or_default()
    }

    /// Whether there is any error.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(!session.view().has_errors());
    /// ```
    pub fn has_errors(&self) -> bool {
        self.0.read_flash().is_some_and(|it| !it.errors.is_empty())
    }

    /// As [`Session::csrf_token`].
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(!session.verify_csrf_token(&session.view().csrf_token()), "a new session has no proof yet");
    /// ```
    pub fn csrf_token(&self) -> String {
        self.0.csrf_token()
    }

    /// The hidden input that carries the token in a form. It is HTML and safe to insert as it is:
    /// `{{ view.csrf_field()|safe }}` in Askama, `(PreEscaped(view.csrf_field()))` in Maud.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.view().csrf_field().contains("name=\"_csrf\""));
    /// ```
    pub fn csrf_field(&self) -> String {
        // The token is base64url, which means nothing in HTML.
        let token = self.csrf_token();
        format!(r#"<input type="hidden" name="{CSRF_FIELD}" value="{token}">"#)
    }
}

/// Returns the field or message of this name.
pub(crate) fn look_up(bag: &Values, name: &str) -> Option<Value> {
    serde_json::from_str(find(bag, &parts(name))?).ok()
}

/// Strings as they are, `null` and absence as the default, the rest as JSON.
fn text_or(value: Option<Value>, default: &str) -> String {
    match value {
        None | Some(Value::Null) => default.to_owned(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("View").field(&self.0).finish()
    }
}
