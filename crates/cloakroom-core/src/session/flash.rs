//! Flash: what the next page shows.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::session::Session;
use crate::{
    error::{Error, Kind},
    form::{FormInput, IntoFieldErrors, field::Fields},
    record::flash::{Bags, BatchId},
    session::{flash_messages::FlashMessages, view::View},
    values::encode_object,
};

impl Session {
    /// Adds messages for the next page, from pairs, maps, JSON objects, and whatever else is
    /// [`FlashMessages`](crate::FlashMessages). The flash of at most 16 requests waits: of more, the
    /// oldest is dropped.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.flash(serde_json::json!({ "notification": "You have been redirected back" }))?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// When `messages` is a JSON value other than an object.
    pub fn flash(&self, messages: impl FlashMessages) -> Result<&Self, Error> {
        self.add(Bags::of_messages(&messages)?)
    }

    /// Flashes the request's form, so that the page can fill it in again. Files stay out, and so do
    /// fields with secret names: [`SecretFields::DEFAULT`](crate::form::SecretFields::DEFAULT), unless
    /// [set otherwise](crate::SessionsBuilder::secret_fields).
    ///
    /// The form is what the `Input` extractor captured, whether or not it was valid. It replaces the
    /// form that an earlier request flashed, with its errors. If the session would be too large with
    /// it, the commit leaves its largest fields out.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session_with_form("username=virk&password=secret");
    /// session.with_errors([("username", "is taken")])?.flash_all()?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// When no form was captured.
    pub fn flash_all(&self) -> Result<&Self, Error> {
        self.flash_except(&[])
    }

    /// Flashes the named fields of the request's form. A field is named as in the form or with dots:
    /// `user[name]` or `user.name`. `items[][name]` is the name of every entry. Naming a field is
    /// asking for it, so the secret ones of [`flash_all`](Self::flash_all) are not left out here.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session_with_form("username=virk&email=v@example.org");
    /// session.flash_only(&["username", "email"])?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// When no form was captured.
    pub fn flash_only(&self, fields: &[&str]) -> Result<&Self, Error> {
        self.flash_input(|input| input.only(fields))
    }

    /// Flashes the request's form without the named fields, and without the secret ones of
    /// [`flash_all`](Self::flash_all). Fields are named as in [`flash_only`](Self::flash_only). An entry
    /// of a list that is left out becomes `null`, so that the others keep their numbers.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session_with_form("username=virk&answer=42");
    /// session.flash_except(&["answer"])?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// When no form was captured.
    pub fn flash_except(&self, fields: &[&str]) -> Result<&Self, Error> {
        let secret = self.sessions().context().secret_fields();
        self.flash_input(|input| input.without(fields, secret))
    }

    fn flash_input(
        &self,
        pick: impl FnOnce(&FormInput) -> Map<String, Value>,
    ) -> Result<&Self, Error> {
        let input = self.0.input.get().ok_or(Kind::NoInput)?;
        self.add(Bags { input: encode_object("input", &pick(input))?, ..Bags::default() })
    }

    /// Adds errors by field, from anything that is [`IntoFieldErrors`]: pairs, maps, lists of
    /// `{field, message}`, the errors of a failed `Input`. They add to what this request has flashed
    /// and replace the form that an earlier one has, with its errors. Each message of a field is kept
    /// once. The errors of at most 100 fields are kept, the first by name. If the session would be too
    /// large with them although all input is left out, the commit leaves out the longest.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.with_errors([("username", "Username is required")])?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn with_errors(&self, errors: impl IntoFieldErrors) -> Result<&Self, Error> {
        let errors = errors.into_field_errors();
        self.add(Bags { errors, ..Bags::default() })
    }

    /// Keeps everything that came to be shown on this page for one more page. What this request flashes
    /// under the same name, and input or errors that it flashes, are newer and hide what is kept, as does
    /// what another request flashes meanwhile. What [`flash_now`](Self::flash_now) shows is not kept.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.reflash()?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn reflash(&self) -> Result<&Self, Error> {
        self.keep(|_| Ok(()))
    }

    /// Keeps the named messages, inputs and errors for one more page.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.reflash_only(&["notification"])?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn reflash_only(&self, names: &[&str]) -> Result<&Self, Error> {
        self.keep(|bags| bags.only(&Fields::named(names)))
    }

    /// Keeps everything but the named messages, inputs and errors for one more page.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.reflash_except(&["notification"])?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn reflash_except(&self, names: &[&str]) -> Result<&Self, Error> {
        self.keep(|bags| bags.except(&Fields::named(names)))
    }

    fn keep(&self, choose: impl FnOnce(&mut Bags) -> Result<(), Error>) -> Result<&Self, Error> {
        let Some(incoming) = self.peek_flash() else { return Ok(self) };
        let mut bags = Bags::clone(&incoming);
        choose(&mut bags)?;
        self.state().keep(bags, BatchId::draw)?;
        Ok(self)
    }

    /// Shows messages within this request, and not in the next.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.flash_now(serde_json::json!({ "notice": "shown at once" }))?;
    /// assert_eq!(session.view().flash_message("notice", ""), "shown at once");
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    ///
    /// # Errors
    /// When `messages` is a JSON value other than an object.
    pub fn flash_now(&self, messages: impl FlashMessages) -> Result<&Self, Error> {
        self.state().flash.show_now(Bags::of_messages(&messages)?.messages);
        Ok(self)
    }

    /// The view helpers for templates: old input, errors, messages, CSRF field.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(!session.view().has_errors());
    /// ```
    #[must_use]
    pub fn view(&self) -> View {
        View::of(self.clone())
    }

    /// What came with the request to be shown. Asking consumes it.
    pub(crate) fn read_flash(&self) -> Option<Arc<Bags>> {
        self.state().flash.read()
    }

    /// The same without what `flash_now` added, and without consuming it.
    pub(crate) fn peek_flash(&self) -> Option<Arc<Bags>> {
        self.state().peek_flash()
    }

    pub(crate) fn add(&self, bags: Bags) -> Result<&Self, Error> {
        self.state().flash(bags, BatchId::draw)?;
        Ok(self)
    }
}
