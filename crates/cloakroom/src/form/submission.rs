//! A form between its sender and a handler: taken, checked, sent back with what is wrong in it.

use std::fmt;

use serde::de::DeserializeOwned;

use super::{FieldErrors, IntoFieldErrors, wants_json};
use crate::{Session, Visit, error::Error, redirect::Back, request::Headers, visit::Answer};

/// A form that was captured, as a `T` or as the reasons why it is none. What an adapter's `Input` is
/// made of.
#[derive(Clone, Debug)]
pub struct Submission<T> {
    form: Result<T, FieldErrors>,
    sender: Sender,
}

/// Where the answer to an invalid form goes.
#[derive(Clone, Debug)]
struct Sender {
    /// Where errors are flashed; none where the answer is JSON.
    session: Option<Session>,
    back: Back,
    fallback: String,
}

impl<T: DeserializeOwned> Submission<T> {
    /// The form that `visit` has [captured](Visit::capture). A sender who wants a page has their
    /// session loaded.
    ///
    /// # Errors
    /// When the session cannot be loaded.
    pub async fn of(visit: &Visit, headers: &impl Headers, back: Back) -> Result<Self, Error> {
        let session = if wants_json(headers) { None } else { Some(visit.session(headers).await?) };
        let form = visit.input().unwrap_or_default().deserialize();
        Ok(Self { form, sender: Sender { session, back, fallback: "/".to_owned() } })
    }
}

impl<T> Submission<T> {
    /// The form, or by field what is wrong with it.
    ///
    /// # Errors
    /// When what was sent is not a `T`.
    pub fn into_result(self) -> Result<T, FieldErrors> {
        self.form
    }

    /// Where to send a visitor whose browser does not say which page it came from. Default: `/`.
    #[must_use]
    pub fn or_back_to(mut self, fallback: impl Into<String>) -> Self {
        self.sender.fallback = fallback.into();
        self
    }

    /// The form, if it is one and `check` finds nothing wrong.
    ///
    /// # Errors
    /// When what was sent is not a `T`, or what `check` found: with the answer that says so.
    pub fn check<E: IntoFieldErrors>(
        self,
        check: impl FnOnce(&T) -> Result<(), E>,
    ) -> Result<T, InvalidForm> {
        let checked = self.form.and_then(|form| match check(&form) {
            Ok(()) => Ok(form),
            Err(errors) => Err(errors.into_field_errors()),
        });
        checked.map_err(|errors| InvalidForm { errors, sender: self.sender })
    }
}

/// A form with something wrong in it, and whom to tell.
#[derive(Debug)]
pub struct InvalidForm {
    errors: FieldErrors,
    sender: Sender,
}

impl InvalidForm {
    /// Flashes the errors and what was typed and sends the visitor back; a client that
    /// [wants JSON](wants_json) gets status 422 and `{"errors": {"field": ["message"]}}`.
    ///
    /// # Errors
    /// After the commit, as every change.
    pub(crate) fn answer(&self) -> Result<Answer, Error> {
        let Sender { session, back, fallback } = &self.sender;
        let status = self.http_status();
        Ok(if let Some(session) = session {
            session.with_errors(&self.errors)?.flash_all()?;
            Answer { status, location: Some(back.target(fallback)), ..Answer::default() }
        } else {
            let json = serde_json::json!({ "errors": self.errors }).to_string();
            Answer { status, content: Some(("application/json", json)), ..Answer::default() }
        })
    }

    pub(crate) fn http_status(&self) -> u16 {
        if self.sender.session.is_some() { 303 } else { 422 }
    }
}

impl fmt::Display for InvalidForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the form is not valid: {}", self.errors)
    }
}

impl std::error::Error for InvalidForm {}
