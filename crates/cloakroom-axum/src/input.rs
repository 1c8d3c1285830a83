//! The request's form.

use axum_core::{
    body::Body,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cloakroom::form::{FieldErrors, FormError, FormInput, IntoFieldErrors, Submission};
use http::{Method, header::CONTENT_TYPE, request::Parts};
use serde::de::DeserializeOwned;

use crate::{
    Back, SessionError, SessionRejection,
    extract::innermost,
    headers::RequestHeaders,
    rejection::{plain, status},
};

/// Extracts the form that the visitor sent, as a `T` or as the reasons why it is none. It takes the
/// body, so it is a handler's last argument.
///
/// It takes `application/x-www-form-urlencoded`, the text fields of `multipart/form-data` and JSON
/// objects; for `GET` and `HEAD` the query. Names nest (`user[name]`, `tags[]`), and text turns
/// into the numbers, booleans and options that `T` asks for.
///
/// [`check`](Self::check) and [`valid`](Self::valid) tell the visitor what is wrong, in one `?`: the
/// errors and what was typed are flashed, and the answer is a redirect back to the form, or status
/// 422 with `{"errors": {"field": ["message"]}}` for a client that
/// [asks for JSON](cloakroom::form::wants_json). Where a `GET` is answered by the page that has the form,
/// take [`into_result`](Self::into_result): the way back would lead to the same request again.
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
pub struct Input<T>(Submission<T>);

impl<T> Input<T> {
    /// The form, or by field what is wrong with it, for handlers that answer themselves.
    ///
    /// # Errors
    /// When what was sent is not a `T`.
    pub fn into_result(self) -> Result<T, FieldErrors> {
        self.0.into_result()
    }

    /// Where to send a visitor whose browser does not say which page it came from. Default: `/`.
    #[must_use]
    pub fn or_back_to(self, fallback: impl Into<String>) -> Self {
        Self(self.0.or_back_to(fallback))
    }

    /// The form, if it is one.
    ///
    /// # Errors
    /// When what was sent is not a `T`: the answer that says so.
    pub fn valid(self) -> Result<T, SessionError> {
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
    ) -> Result<T, SessionError> {
        self.0.check(check).map_err(SessionError::from)
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
        let headers = RequestHeaders(&parts.headers);
        let submission = Submission::of(&visit, &headers, Back::of(&parts)).await;
        Ok(Self(submission.map_err(SessionRejection::not_loaded)?))
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

/// Why a request's form could not be taken: no session layer (500), a session that cannot be loaded
/// (503 or 500), a body that is too long (413), a content type that is no form (415), or a body that
/// is not what its content type says (400).
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
            Reason::Form(error) => plain(status(error.http_status()), error.to_string()),
        }
    }
}
