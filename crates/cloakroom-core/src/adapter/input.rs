//! The forms of requests, as handlers take them.

use bytes::Bytes;
use serde::de::DeserializeOwned;

use crate::{
    adapter::{body::BodyError, context::RequestContext, error::AdapterError},
    error::{Error, FormReply, Kind},
    form::{FieldErrors, FormInput, IntoFieldErrors, wants_json},
    http::{headers::Headers, redirect::Back},
    session::Session,
};

/// Extracts the form that the visitor sent, as a `T` or as its errors by field. It takes the body, so in
/// axum it is the last argument of a handler.
///
/// It accepts `application/x-www-form-urlencoded`, the text fields of `multipart/form-data`, and JSON
/// objects. For `GET` and `HEAD` it reads the query. Names nest (`user[name]`, `tags[]`), and text is
/// converted into the numbers, booleans and options that `T` has.
///
/// Use [`JsonInput`] for routes that only accept JSON. It refuses the forms that a page of another site
/// can send.
///
/// [`check`](Self::check) and [`valid`](Self::valid) return an error for an invalid form, which `?` turns
/// into the reply. A browser gets a redirect (303) back to the form, and the errors and the input are
/// flashed. A client that [wants JSON](wants_json) gets status 422 and
/// `{"errors": {"field": ["message"]}}`, and nothing is flashed.
///
/// Use [`into_result`](Self::into_result) if one page shows a `GET` form and also handles it, because the
/// redirect would lead to the same request again.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{Error, Input, Session};
///
/// #[derive(serde::Deserialize)]
/// struct SignUp { username: String, age: Option<u8> }
///
/// async fn sign_up(session: Session, input: Input<SignUp>) -> Result<String, Error> {
///     let form = input.check(|form| match form.username.len() {
///         0..3 => Err([("username", "must have three letters or more")]),
///         _ => Ok(()),
///     })?;
///     session.put("username", &form.username)?;
///     Ok(format!("Welcome, {}", form.username))
/// }
/// ```
///
/// The body may be as long as the framework's own extractors accept: 2 MiB in axum
/// (`DefaultBodyLimit`), 256 KiB in actix-web (`PayloadConfig`). A body with a `Content-Encoding` gets
/// status 415 and is not read, because a few hundred bytes can decompress to a gigabyte. If the client
/// wants a page, the extractor loads the session.
#[derive(Clone, Debug)]
pub struct Input<T> {
    form: Result<T, FieldErrors>,
    reply: Reply,
}

/// The kind of reply to an invalid form.
#[derive(Clone, Debug)]
enum Reply {
    Json,
    Redirect { session: Session, back: Back, fallback: String },
}

impl<T: DeserializeOwned> Input<T> {
    /// Reads the form that `context` has [read](RequestContext::read_form). Loads the session if the
    /// client wants a page.
    ///
    /// # Errors
    /// When the session cannot be loaded.
    pub async fn of(
        context: &RequestContext,
        headers: &(impl Headers + ?Sized),
        back: Back,
    ) -> Result<Self, AdapterError> {
        let reply = if wants_json(headers) {
            Reply::Json
        } else {
            let session = context.session(headers).await.map_err(AdapterError::NotLoaded)?;
            let back = back.remembered_by(&session);
            Reply::Redirect { session, back, fallback: "/".to_owned() }
        };
        let form = context.input().unwrap_or_default().deserialize();
        Ok(Self { form, reply })
    }
}

impl<T> Input<T> {
    /// Returns the form, or its errors by field, for handlers that reply themselves.
    ///
    /// # Errors
    /// When the input is not a `T`.
    pub fn into_result(self) -> Result<T, FieldErrors> {
        self.form
    }

    /// Sets the path of the redirect for requests without a usable `Referer`, and without a page that the session
    /// [remembers](crate::SessionsBuilder::previous_url). Default: `/`.
    #[must_use]
    pub fn fallback(mut self, path: impl Into<String>) -> Self {
        if let Reply::Redirect { fallback, .. } = &mut self.reply {
            *fallback = path.into();
        }
        self
    }

    /// Returns the form.
    ///
    /// # Errors
    /// When the input is not a `T`. The error is the [reply](Self#) to the client.
    pub fn valid(self) -> Result<T, Error> {
        self.check(|_| Ok::<(), FieldErrors>(()))
    }

    /// Returns the form if `check` returns no errors. With the features `validator` and `garde`, it accepts
    /// the errors of these crates: `input.check(|form| form.validate())?`.
    ///
    /// # Errors
    /// When the input is not a `T`, or `check` returns errors. The error is the [reply](Self#) to the
    /// client.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{Error, Input};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Booking { seats: u8 }
    ///
    /// async fn book(input: Input<Booking>) -> Result<String, Error> {
    ///     let free = 4;
    ///     let booking = input.check(move |booking| match booking.seats <= free {
    ///         true => Ok(()),
    ///         false => Err([("seats", format!("there are {free} left"))]),
    ///     })?;
    ///     Ok(format!("{} seats booked", booking.seats))
    /// }
    /// ```
    pub fn check<E: IntoFieldErrors>(
        self,
        check: impl FnOnce(&T) -> Result<(), E>,
    ) -> Result<T, Error> {
        let checked = self.form.and_then(|form| match check(&form) {
            Ok(()) => Ok(form),
            Err(errors) => Err(errors.into_field_errors()),
        });
        checked.map_err(|errors| self.reply.refuse(&errors))
    }
}

impl Reply {
    /// Flashes the errors and the input, and returns the error that replies with them.
    fn refuse(self, errors: &FieldErrors) -> Error {
        let reply = match self {
            Self::Json => FormReply::Json(serde_json::json!({ "errors": errors }).to_string()),
            Self::Redirect { session, back, fallback } => {
                if let Err(error) = session.with_errors(errors).and_then(Session::flash_all) {
                    return error;
                }
                FormReply::SeeOther(back.target(&fallback))
            }
        };
        Kind::InvalidForm { errors: errors.to_string(), reply }.into()
    }
}

/// Extracts a JSON body (`application/json`), and refuses any other body with status 415.
///
/// A page of another site cannot send such a request without the permission of CORS (the Fetch
/// standard's preflight). It can send the forms that [`Input`] accepts. An invalid body gets status 422
/// and `{"errors": {"field": ["message"]}}`. The session is not loaded.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{Error, JsonInput, Session};
///
/// #[derive(serde::Deserialize)]
/// struct Rename { name: String }
///
/// async fn rename(session: Session, input: JsonInput<Rename>) -> Result<String, Error> {
///     let name = input.valid()?.name;
///     session.put("name", &name)?;
///     Ok(name)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct JsonInput<T>(Input<T>);

impl<T: DeserializeOwned> JsonInput<T> {
    /// Reads the body, which `read` reads without decompressing it.
    ///
    /// # Errors
    /// When the body cannot be read or is not JSON.
    pub async fn of(
        headers: &(impl Headers + ?Sized),
        read: impl Future<Output = Result<Bytes, BodyError>>,
    ) -> Result<Self, AdapterError> {
        FormInput::check_json(headers).map_err(AdapterError::NotAForm)?;
        let body = read.await.map_err(|error| error.into_failure(None))?;
        let form = FormInput::parse(headers, body).await.map_err(AdapterError::NotAForm)?;
        let form = form.deserialize();
        Ok(Self(Input { form, reply: Reply::Json }))
    }
}

impl<T> JsonInput<T> {
    /// Returns the body, or its errors by field, as [`Input::into_result`] does.
    ///
    /// # Errors
    /// When the body is not a `T`.
    pub fn into_result(self) -> Result<T, FieldErrors> {
        self.0.into_result()
    }

    /// Returns the body, as [`Input::valid`] does.
    ///
    /// # Errors
    /// When the body is not a `T`. The error is the reply to the client.
    pub fn valid(self) -> Result<T, Error> {
        self.0.valid()
    }

    /// Returns the body if `check` returns no errors, as [`Input::check`] does.
    ///
    /// # Errors
    /// When the body is not a `T`, or `check` returns errors. The error is the reply to the client.
    pub fn check<E: IntoFieldErrors>(
        self,
        check: impl FnOnce(&T) -> Result<(), E>,
    ) -> Result<T, Error> {
        self.0.check(check)
    }
}
