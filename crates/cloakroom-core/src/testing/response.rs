//! The response to a test request, with assertions.

use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::testing::RawResponse;
use crate::{
    record::{flash::Bags, message::Message},
    session::{Session, view::look_up},
};

/// A response, with the session as the next request finds it.
///
/// The `assert_…` functions can be chained. A failed assertion panics and shows the whole session.
/// [`TestClient`](crate::testing::TestClient) has an example.
pub struct TestResponse {
    response: RawResponse,
    session: Session,
}

#[expect(clippy::missing_panics_doc, reason = "assertions panic")]
impl TestResponse {
    pub(super) fn new(response: RawResponse, session: Session) -> Self {
        Self { response, session }
    }

    /// Returns the status code.
    pub fn status(&self) -> u16 {
        self.response.status
    }

    /// Returns the first value of a header. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.header(name)
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.response.body).into_owned()
    }

    /// Reads the body as JSON: `response.json::<serde_json::Value>()["token"]`.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        let read = serde_json::from_slice(&self.response.body);
        read.unwrap_or_else(|error| {
            panic!("the body cannot be read as this type: {error}: {}", self.text())
        })
    }

    /// Returns the session's value under `key`.
    pub fn session_value(&self, key: &str) -> Option<Value> {
        self.session.get(key).ok().flatten()
    }

    fn flash(&self) -> Arc<Bags> {
        self.session.peek_flash().unwrap_or_default()
    }

    #[track_caller]
    fn assert_same(&self, name: &str, found: Option<&Value>, expected: &Value) -> &Self {
        assert!(
            found == Some(expected),
            "{name} should be {expected} and is {}\n{self}",
            found.map_or_else(|| "missing".to_owned(), ToString::to_string)
        );
        self
    }

    /// Asserts that the response has this status.
    #[track_caller]
    pub fn assert_status(&self, status: u16) -> &Self {
        assert!(
            self.status() == status,
            "the status should be {status} and is {}\n{self}",
            self.status()
        );
        self
    }

    /// Asserts that the response is a redirect to `uri`.
    #[track_caller]
    pub fn assert_redirect(&self, uri: &str) -> &Self {
        let is_redirect = (300..400).contains(&self.status());
        let location = is_redirect.then(|| self.header("location")).flatten();
        assert!(
            location == Some(uri),
            "the response should redirect to {uri:?} and redirects to {location:?}\n{self}"
        );
        self
    }

    /// Asserts that the session has this value under `key`.
    #[track_caller]
    pub fn assert_session(&self, key: &str, value: impl Serialize) -> &Self {
        let name = format!("the session value `{key}`");
        self.assert_same(&name, self.session_value(key).as_ref(), &json!(value))
    }

    /// Asserts that the session has no value under `key`.
    #[track_caller]
    pub fn assert_session_missing(&self, key: &str) -> &Self {
        assert!(!self.session.has(key), "the session should have no value `{key}`\n{self}");
        self
    }

    /// Asserts that the next page shows this flash message.
    #[track_caller]
    pub fn assert_flash(&self, key: &str, value: impl Serialize) -> &Self {
        let found = look_up(&self.flash().messages, key);
        self.assert_same(&format!("the flash message `{key}`"), found.as_ref(), &json!(value))
    }

    /// Asserts that the next page shows no flash message of this name.
    #[track_caller]
    pub fn assert_flash_missing(&self, key: &str) -> &Self {
        let flash = self.flash();
        assert!(
            look_up(&flash.messages, key).is_none(),
            "there should be no flash message `{key}`\n{self}"
        );
        self
    }

    /// Asserts that the next page shows this message of [`Session::flash_push`].
    #[track_caller]
    pub fn assert_message(&self, level: &str, text: &str) -> &Self {
        let flash = self.flash();
        assert!(
            flash.pushed.contains(&Message::new(level, text)),
            "the messages should contain {text:?} of the level `{level}` and are {:?}\n{self}",
            flash.pushed
        );
        self
    }

    /// Asserts that the next page shows this error for the field.
    #[track_caller]
    pub fn assert_error_for(&self, field: &str, message: &str) -> &Self {
        let flash = self.flash();
        let messages = flash.errors.messages_for(field);
        assert!(
            messages.iter().any(|found| found == message),
            "the errors for `{field}` should contain {message:?} and are {messages:?}\n{self}"
        );
        self
    }

    /// Asserts that the next page shows no error for the field.
    #[track_caller]
    pub fn assert_no_error_for(&self, field: &str) -> &Self {
        let flash = self.flash();
        let messages = flash.errors.messages_for(field);
        assert!(
            messages.is_empty(),
            "there should be no error for `{field}`, found {messages:?}\n{self}"
        );
        self
    }

    /// Asserts that the next page has this old input for the field.
    #[track_caller]
    pub fn assert_old(&self, key: &str, value: impl Serialize) -> &Self {
        let found = look_up(&self.flash().input, key);
        self.assert_same(&format!("the old input `{key}`"), found.as_ref(), &json!(value))
    }

    /// Asserts that the session has this owner.
    #[track_caller]
    pub fn assert_signed_in_as(&self, owner: &str) -> &Self {
        let found = self.session.owner();
        assert!(
            found.as_deref() == Some(owner),
            "the owner of the session should be {owner:?} and is {found:?}\n{self}"
        );
        self
    }

    /// Asserts that there is no session, or that it has no owner.
    #[track_caller]
    pub fn assert_signed_out(&self) -> &Self {
        let found = self.session.owner();
        assert!(found.is_none(), "the session should have no owner and has {found:?}\n{self}");
        self
    }

    /// Asserts that the session is bound to the device of the client.
    #[cfg(feature = "device-binding")]
    #[track_caller]
    pub fn assert_device_bound(&self) -> &Self {
        let found = self.session.device();
        assert!(
            found.is_some_and(|device| device.is_present),
            "the session should be bound to the device of the client and is {found:?}\n{self}"
        );
        self
    }
}

/// Shows the response and the whole session, for failed assertions.
impl fmt::Display for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flash = self.flash();
        let session = json!({
            "new": self.session.is_new(),
            "owner": self.session.owner(),
            "values": self.session.all(),
            "messages": flash.messages.all(),
            "pushed": flash.pushed,
            "input": flash.input.all(),
            "errors": flash.errors,
            "form_errors": flash.form_errors,
        });
        writeln!(f, "response: {} {}", self.status(), self.text())?;
        write!(f, "session: {session:#}")
    }
}

impl fmt::Debug for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
