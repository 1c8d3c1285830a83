//! Flash: messages, old input and errors for the next page.

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
    /// Adds messages for the next page, from pairs, maps, JSON objects, and any other
    /// [`FlashMessages`].
    ///
    /// A message replaces an earlier one of the same name. Use [`flash_push`](Self::flash_push) for
    /// messages that are all shown, and [`flash_now`](Self::flash_now) for messages on the current page. A
    /// session keeps the flash of at most 16 requests. If there are more, it drops the oldest.
    ///
    /// # Errors
    /// When `messages` is a JSON value other than an object. After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.flash(serde_json::json!({ "notification": "You have been redirected back" }))?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn flash(&self, messages: impl FlashMessages) -> Result<&Self, Error> {
        self.add(Bags::of_messages(&messages)?)
    }

    /// Adds a message to the list for the next page, which shows all of them in order.
    ///
    /// Use it for several messages of one kind. Use [`flash`](Self::flash) for a message that has a fixed
    /// place on the page. The level is free text. The usual levels are `success`, `info`, `warning` and
    /// `error`. [`View::messages`] returns the list.
    ///
    /// If concurrent requests add messages, all are shown, in the order of the commits. None is left out
    /// if the session would be too large, so stop after a few if a visitor's data decides how many there
    /// are.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.flash_push("success", "The file was imported")?;
    /// session.flash_push("warning", "Row 7 has no date")?.flash_push("warning", "Row 9 is empty")?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn flash_push(
        &self,
        level: impl Into<String>,
        text: impl Into<String>,
    ) -> Result<&Self, Error> {
        self.add(Bags::of_pushed(level, text))
    }

    /// Flashes the request's form, so that the next page can fill it in again. Leaves out files and
    /// fields with secret names.
    ///
    /// The secret names are [`SecretFields::DEFAULT`](crate::form::SecretFields::DEFAULT), unless
    /// [set otherwise](crate::SessionsBuilder::secret_fields). The form is the one that the `Input`
    /// extractor has read, valid or not. It replaces the input that an earlier request flashed, and what an
    /// earlier call of `flash_all`, `flash_only` or `flash_except` in this request has chosen. If the
    /// session would be too large with it, the commit leaves out its largest fields.
    ///
    /// # Errors
    /// When the request's form was not read. After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session_with_form("username=virk&password=secret");
    /// session.with_errors([("username", "is taken")])?.flash_all()?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn flash_all(&self) -> Result<&Self, Error> {
        self.flash_except(&[])
    }

    /// Flashes the named fields of the request's form. Names have brackets, as in the form, or dots:
    /// `user[name]` or `user.name`. `items[][name]` selects the field `name` of every entry.
    ///
    /// # Errors
    /// When the request's form was not read. After the commit, as every change.
    ///
    /// # Security
    /// A named field is flashed even if its name is secret for [`flash_all`](Self::flash_all).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session_with_form("username=virk&email=v@example.org");
    /// session.flash_only(&["username", "email"])?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn flash_only(&self, fields: &[&str]) -> Result<&Self, Error> {
        self.flash_input(|input| input.only(fields))
    }

    /// Flashes the request's form without the named fields, and without the secret fields of
    /// [`flash_all`](Self::flash_all). Names are written as for [`flash_only`](Self::flash_only).
    ///
    /// A list entry that is left out becomes `null`, because the other entries keep their numbers.
    ///
    /// # Errors
    /// When the request's form was not read. After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session_with_form("username=virk&captcha=42");
    /// session.flash_except(&["captcha"])?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn flash_except(&self, fields: &[&str]) -> Result<&Self, Error> {
        let secret = self.sessions().context().secret_fields();
        self.flash_input(|input| input.without(fields, secret))
    }

    fn flash_input(
        &self,
        pick: impl FnOnce(&FormInput) -> Map<String, Value>,
    ) -> Result<&Self, Error> {
        let input = self.0.input.get().ok_or(Kind::NoInput)?;
        let input = encode_object("input", &pick(input))?;
        self.state().flash_input(input, BatchId::draw)?;
        Ok(self)
    }

    /// Adds errors by field, from any value that is [`IntoFieldErrors`]: pairs, maps, lists of
    /// `{field, message}`, the errors of a failed `Input`.
    ///
    /// The errors extend those of this request, and replace those that an earlier request flashed.
    /// A field keeps each message once. The session keeps the errors of at most 100 fields, the first
    /// by name. If it would be too large with them even without input, the commit leaves out the
    /// longest errors.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.with_errors([("username", "Username is required")])?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn with_errors(&self, errors: impl IntoFieldErrors) -> Result<&Self, Error> {
        let errors = errors.into_field_errors();
        self.add(Bags { errors, ..Bags::default() })
    }

    /// Adds errors by field to the form of this name, for a page with several forms.
    /// [`View::errors_in`] shows them. Use [`with_errors`](Self::with_errors) if the page has one form.
    ///
    /// They are kept as those of `with_errors`, separately for each name. Use constant names, because the
    /// errors of each name take space until a page shows them.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.with_errors_in("login", [("email", "Email or password is wrong")])?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn with_errors_in(&self, form: &str, errors: impl IntoFieldErrors) -> Result<&Self, Error> {
        let errors = errors.into_field_errors();
        let form_errors = [(form.to_owned(), errors)].into_iter();
        let form_errors = form_errors.filter(|(_, errors)| !errors.is_empty()).collect();
        self.add(Bags { form_errors, ..Bags::default() })
    }

    /// Removes the named messages of earlier requests, so that neither this page nor a later one shows them.
    /// Messages that this request flashes for the next page stay.
    ///
    /// Use it for a message that this request has made obsolete.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.flash_now([("notice", "Your trial ends soon"), ("status", "Saved")])?;
    /// session.discard_flash(&["notice"])?;
    /// assert_eq!(session.view().flash_message("notice", ""), "");
    /// assert_eq!(session.view().flash_message("status", ""), "Saved");
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn discard_flash(&self, names: &[&str]) -> Result<&Self, Error> {
        self.state().discard_flash(names)?;
        Ok(self)
    }

    /// Keeps the flash of this page for one more page.
    ///
    /// If this request calls `reflash`, [`reflash_only`](Self::reflash_only) or
    /// [`reflash_except`](Self::reflash_except) several times, the last call counts.
    ///
    /// If this request or a concurrent one flashes something new, the next page shows the new flash and
    /// the kept flash. A new message replaces a kept message of the same name. New input replaces all
    /// kept input, and new errors replace all kept errors. New messages of
    /// [`flash_push`](Self::flash_push) follow the kept ones.
    ///
    /// Messages of [`flash_now`](Self::flash_now) are not kept.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.reflash()?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn reflash(&self) -> Result<&Self, Error> {
        self.keep(|_| Ok(()))
    }

    /// Keeps the named messages, inputs and errors of this page for one more page. Use
    /// [`reflash`](Self::reflash) to keep all. The rest is dropped, also if the response is a redirect.
    ///
    /// Messages of [`flash_push`](Self::flash_push) have no names, so none is kept.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.reflash_only(&["notification"])?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn reflash_only(&self, names: &[&str]) -> Result<&Self, Error> {
        self.keep(|bags| bags.only(&Fields::named(names)))
    }

    /// Keeps the flash of this page for one more page, except the named messages, inputs and errors, which are
    /// dropped. All messages of [`flash_push`](Self::flash_push) are kept.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.reflash_except(&["notification"])?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
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

    /// Shows messages on the page of this request. Use [`flash`](Self::flash) for the next page.
    ///
    /// # Errors
    /// When `messages` is a JSON value other than an object.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.flash_now(serde_json::json!({ "notice": "shown at once" }))?;
    /// assert_eq!(session.view().flash_message("notice", ""), "shown at once");
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn flash_now(&self, messages: impl FlashMessages) -> Result<&Self, Error> {
        let now = Bags::of_messages(&messages)?;
        self.state().flash.show_now(now);
        Ok(self)
    }

    /// Shows a message in the list on the page of this request, after the messages of earlier requests.
    /// Use [`flash_push`](Self::flash_push) for the next page.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.flash_push_now("info", "shown at once");
    /// assert_eq!(session.view().messages()[0].text, "shown at once");
    /// ```
    pub fn flash_push_now(&self, level: impl Into<String>, text: impl Into<String>) -> &Self {
        let now = Bags::of_pushed(level, text);
        self.state().flash.show_now(now);
        self
    }

    /// Returns the view helpers for templates.
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

    /// Returns the flash that the page shows, and consumes it.
    pub(crate) fn read_flash(&self) -> Option<Arc<Bags>> {
        self.state().flash.read()
    }

    /// Returns the incoming flash without the messages of `flash_now`. Does not consume it.
    pub(crate) fn peek_flash(&self) -> Option<Arc<Bags>> {
        self.state().peek_flash()
    }

    pub(crate) fn add(&self, bags: Bags) -> Result<&Self, Error> {
        self.state().flash(bags, BatchId::draw)?;
        Ok(self)
    }
}
