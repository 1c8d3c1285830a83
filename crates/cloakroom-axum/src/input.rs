//! The request's form.

use std::fmt;

use axum_core::{
    body::Body,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cloakroom::{
    Session,
    form::{FieldErrors, FormError, FormInput, IntoFieldErrors, wants_json},
};
use http::{Method, StatusCode, header::CONTENT_TYPE, request::Parts};
use serde::de::DeserializeOwned;

use crate::{
    Back, SessionError, SessionRejection,
    extract::{innermost, load},
    headers::RequestHeaders,
    rejection::plain,
};

/// Extracts the form that the visitor sent, as a `T` or as the reasons why it is none.
///
/// It takes `application/x-www-form-urlencoded`, the text fields of `multipart/form-data` and JSON
/// objects; for `GET` and `HEAD` the query. Names nest (`user[name]`, `tags[]`), and text turns
/// into the numbers, booleans and options that `T` asks for.
///
/// [`check`](Self::check) and [`valid`](Self::valid) tell the visitor what is wrong, in one `?`: the
/// errors and what was typed are flashed, and the answer is a redirect back to the form, or status
/// 422 with `{"errors": {"field": ["message"]}}` for a client that
/// [asks for JSON](cloakroom::form::wants_json).
///
/// ```
/// use axum::response::Redirect;
/// use cloakroom_axum::{Input, Session, SessionError};
///
/// #[derive(serde::Deserialize)]
/// struct SignUp { username: String, age: Option<u8> }
///
/// async fn sign_up(session: Session, input: Input<SignUp>) -> Result<Redirect, SessionError> {
///     let form = input.check(|form| match form.username.len() {
///         0..3 => Err([("username", "must have three letters or more")]),
///         _ => Ok(()),
///     })?;
///     session.put("username", form.username)?;
///     Ok(Redirect::to("/welcome"))
/// }
/// ```
///
/// The body may have 2 MiB, or what [`DefaultBodyLimit`](axum_core::extract::DefaultBodyLimit) says.
/// Asking for the form of a request that wants a page loads its session.
#[derive(Clone, Debug)]
pub struct Input<T> {
    form: Result<T, FieldErrors>,
    /// Where errors are flashed; none where the answer is JSON.
    session: Option<Session>,
    back: Back,
    fallback: String,
}

impl<T> Input<T> {
    /// The form, or by field what is wrong with it, for handlers that answer themselves.
    ///
    /// # Errors
    /// When what was sent is not a `T`.
    pub fn into_result(self) -> Result<T, FieldErrors> {
        self.form
    }

    /// Where to send a visitor whose browser does not say which page it came from. Default: `/`.
    #[must_use]
    pub fn or_back_to(self, fallback: impl Into<String>) -> Self {
        Self { fallback: fallback.into(), ..self }
    }

    /// The form, if it is one.
    ///
    /// # Errors
    /// When what was sent is not a `T`: the answer that says so.
    pub fn valid(self) -> Result<T, InvalidInput> {
        self.check(|_| Ok::<(), FieldErrors>(()))
    }

    /// The form, if it is one and `check` finds nothing wrong. `validator`'s and `garde`'s errors are
    /// taken with the features of these names: `input.check(|form| form.validate())?`.
    ///
    /// # Errors
    /// When what was sent is not a `T`, or what `check` found: the answer that says so.
    pub fn check<E: IntoFieldErrors>(
        self,
        check: impl FnOnce(&T) -> Result<(), E>,
    ) -> Result<T, InvalidInput> {
        let Self { form, session, back, fallback } = self;
        let checked = form.and_then(|form| match check(&form) {
            Ok(()) => Ok(form),
            Err(errors) => Err(errors.into_field_errors()),
        });
        checked.map_err(|errors| InvalidInput { errors, session, back, fallback })
    }
}

/// The answer to a form with something wrong in it: see [`Input`].
#[derive(Debug)]
pub struct InvalidInput {
    errors: FieldErrors,
    session: Option<Session>,
    back: Back,
    fallback: String,
}

impl InvalidInput {
    /// What is wrong, by field.
    pub fn errors(&self) -> &FieldErrors {
        &self.errors
    }
}

impl fmt::Display for InvalidInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the form is not valid: {}", self.errors)
    }
}

impl std::error::Error for InvalidInput {}

impl IntoResponse for InvalidInput {
    fn into_response(self) -> Response {
        let Self { errors, session, back, fallback } = self;
        let Some(session) = session else {
            let body = serde_json::json!({ "errors": errors }).to_string();
            let json = [(CONTENT_TYPE, "application/json")];
            return (StatusCode::UNPROCESSABLE_ENTITY, json, body).into_response();
        };
        match session.with_errors(errors).and_then(cloakroom::Session::flash_all) {
            Ok(_) => back.or(&fallback).into_response(),
            Err(error) => SessionError::from(error).into_response(),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = InputRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, InputRejection> {
        let visit = innermost(request.extensions())?.clone();
        let (parts, body) = request.into_parts();
        if visit.input().is_none() {
            visit.capture(read(&parts, body, state).await?);
        }
        let session = if wants_json(&RequestHeaders(&parts.headers)) {
            None
        } else {
            Some(load(&parts, &visit).await?)
        };
        let form = visit.input().unwrap_or_default().deserialize();
        Ok(Self { form, session, back: Back::of(&parts), fallback: "/".to_owned() })
    }
}

async fn read<S: Send + Sync>(
    parts: &Parts,
    body: Body,
    state: &S,
) -> Result<FormInput, InputRejection> {
    if matches!(parts.method, Method::GET | Method::HEAD) {
        let query = parts.uri.query().unwrap_or_default();
        return Ok(FormInput::from_query(query).map_err(Reason::Form)?);
    }
    let body = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
    let body = body.map_err(|rejection| Reason::Body(rejection.into_response()))?;
    Ok(FormInput::parse(content_type(parts), body).await.map_err(Reason::Form)?)
}

pub(crate) fn content_type(parts: &Parts) -> Option<&str> {
    parts.headers.get(CONTENT_TYPE)?.to_str().ok()
}

/// Why a request's form could not be read: no session layer, a body that is too long (413), a
/// content type that is no form (415), or a body that is not what its content type says (400).
#[derive(Debug)]
pub struct InputRejection(Reason);

#[derive(Debug)]
enum Reason {
    Session(SessionRejection),
    Body(Response),
    Form(FormError),
}

impl From<Reason> for InputRejection {
    fn from(reason: Reason) -> Self {
        Self(reason)
    }
}

impl From<SessionRejection> for InputRejection {
    fn from(rejection: SessionRejection) -> Self {
        Self(Reason::Session(rejection))
    }
}

impl IntoResponse for InputRejection {
    fn into_response(self) -> Response {
        match self.0 {
            Reason::Session(rejection) => rejection.into_response(),
            Reason::Body(response) => response,
            Reason::Form(error) => {
                let status = if error.is_unsupported_type() {
                    StatusCode::UNSUPPORTED_MEDIA_TYPE
                } else {
                    StatusCode::BAD_REQUEST
                };
                plain(status, error.to_string())
            }
        }
    }
}
