//! The view helpers for templates.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

use crate::{
    form::{
        CSRF_FIELD,
        field::{find, parts},
    },
    record::message::Message,
    session::Session,
    values::Values,
};

/// Provides templates with old input, errors, flash messages, values of the session and the CSRF field.
///
/// Templates of Askama and Maud call the methods directly. The features `minijinja` and `tera` provide
/// them as functions of these engines. Clones are cheap.
///
/// Reading flash consumes it, so the next page does not show it again.
///
/// # Security
/// Templates must escape all texts, because they can contain text from a visitor. The exceptions are
/// [`csrf_field`](Self::csrf_field) and [`csrf_meta`](Self::csrf_meta), which are HTML.
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

    /// Returns the old input of the field `key` as text, or `default` if there is none.
    ///
    /// All helpers accept a field's name with brackets or with dots: `user[name]` and `user.name` are the
    /// same field.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.view().old("username", ""), "");
    /// ```
    pub fn old(&self, key: &str, default: &str) -> String {
        text_or(self.old_value(key), default)
    }

    /// Returns the old input of the field `key` as JSON: a list for a repeated field, an object for
    /// nested names.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.view().old_value("tags"), None);
    /// ```
    pub fn old_value(&self, key: &str) -> Option<Value> {
        look_up(&self.0.read_flash()?.input, key)
    }

    /// Returns the flash message `key` as text, or `default` if there is none.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.view().flash_message("notification", "none"), "none");
    /// ```
    pub fn flash_message(&self, key: &str, default: &str) -> String {
        text_or(self.flash_value(key), default)
    }

    /// Returns the flash message `key` as JSON.
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

    /// Returns all flash messages by name. [`messages`](Self::messages) returns those of
    /// [`Session::flash_push`], which have no names.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.view().flash_values().is_empty());
    /// ```
    pub fn flash_values(&self) -> Map<String, Value> {
        self.0.read_flash().map(|bags| bags.messages.all()).unwrap_or_default()
    }

    /// Returns the messages of [`Session::flash_push`], the oldest first.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.flash_push_now("success", "Saved").flash_push_now("warning", "The picture is small");
    /// let messages = session.view().messages();
    /// let levels = messages.iter().map(|message| message.level.as_str());
    /// assert_eq!(levels.collect::<Vec<_>>(), ["success", "warning"]);
    /// ```
    pub fn messages(&self) -> Vec<Message> {
        self.0.read_flash().map(|bags| bags.pushed.clone()).unwrap_or_default()
    }

    /// Returns all old input by field.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.view().input().is_empty());
    /// ```
    pub fn input(&self) -> Map<String, Value> {
        self.0.read_flash().map(|bags| bags.input.all()).unwrap_or_default()
    }

    /// Returns whether there is an error for `field`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(!session.view().has_error_for("username"));
    /// ```
    pub fn has_error_for(&self, field: &str) -> bool {
        self.0.read_flash().is_some_and(|bags| !bags.errors.messages_for(field).is_empty())
    }

    /// Returns the first error message for `field`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.view().get_error_for("username"), None);
    /// ```
    pub fn get_error_for(&self, field: &str) -> Option<String> {
        self.0.read_flash()?.errors.messages_for(field).first().cloned()
    }

    /// Returns all error messages by the field's dotted name: `user.name` for `user[name]`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.view().errors().is_empty());
    /// ```
    pub fn errors(&self) -> BTreeMap<String, Vec<String>> {
        self.0.read_flash().map(|bags| bags.errors.clone().into_map()).unwrap_or_default()
    }

    /// Returns all error messages of the form of this name by the field's dotted name.
    /// [`Session::with_errors_in`] sets them, and the other helpers for errors do not show them.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.view().errors_in("login").is_empty());
    /// ```
    pub fn errors_in(&self, form: &str) -> BTreeMap<String, Vec<String>> {
        let bags = self.0.read_flash();
        let errors = bags.and_then(|bags| bags.form_errors.get(form).cloned());
        errors.unwrap_or_default().into_map()
    }

    /// Returns the first error message for `field` in the form of this name.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.view().get_error_in("login", "email"), None);
    /// ```
    pub fn get_error_in(&self, form: &str, field: &str) -> Option<String> {
        self.0.read_flash()?.form_errors.get(form)?.messages_for(field).first().cloned()
    }

    /// Returns whether there are errors.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(!session.view().has_errors());
    /// ```
    pub fn has_errors(&self) -> bool {
        self.0.read_flash().is_some_and(|bags| !bags.errors.is_empty())
    }

    /// Returns the session's value under `key` as text, or `default` if there is none.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("user.theme", "dark")?;
    /// assert_eq!(session.view().session("user.theme", "light"), "dark");
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn session(&self, key: &str, default: &str) -> String {
        text_or(self.session_value(key), default)
    }

    /// Returns the session's value under `key` as JSON. Returns `None` also for a key that is not valid.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("cart", [7, 9])?;
    /// assert_eq!(session.view().session_value("cart"), Some(serde_json::json!([7, 9])));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn session_value(&self, key: &str) -> Option<Value> {
        self.0.get(key).ok().flatten()
    }

    /// Returns the name of the session's owner, as [`Session::owner`] does.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_eq!(session.view().owner(), None);
    /// ```
    pub fn owner(&self) -> Option<String> {
        self.0.owner()
    }

    /// Returns a CSRF token, as [`Session::csrf_token`] does.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_ne!(session.view().csrf_token(), session.view().csrf_token());
    /// ```
    pub fn csrf_token(&self) -> String {
        self.0.csrf_token()
    }

    /// Returns the HTML of a hidden input with a CSRF token, for a form.
    ///
    /// Insert it without escaping: `{{ view.csrf_field()|safe }}` in Askama,
    /// `(PreEscaped(view.csrf_field()))` in Maud.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.view().csrf_field().contains("name=\"_csrf\""));
    /// ```
    pub fn csrf_field(&self) -> String {
        // The token is base64url, which has no characters that HTML escapes.
        let token = self.csrf_token();
        format!(r#"<input type="hidden" name="{CSRF_FIELD}" value="{token}">"#)
    }

    /// Returns an HTML element with a CSRF token, for the head of a page whose scripts send it in the header
    /// `X-CSRF-Token`. Insert it without escaping, as [`csrf_field`](Self::csrf_field).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.view().csrf_meta().starts_with("<meta name=\"csrf-token\" content=\""));
    /// ```
    pub fn csrf_meta(&self) -> String {
        format!(r#"<meta name="csrf-token" content="{}">"#, self.csrf_token())
    }
}

/// Returns the field or message of this name.
pub(crate) fn look_up(bag: &Values, name: &str) -> Option<Value> {
    serde_json::from_str(find(bag, &parts(name))?).ok()
}

/// Returns a string as it is, the default for `null` or no value, and JSON for any other value.
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
