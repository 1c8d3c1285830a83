//! The request's form.

use axum_core::{
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cloakroom::form::{FieldErrors, FormError, FormInput};
use http::{Method, StatusCode, header::CONTENT_TYPE, request::Parts};
use serde::de::DeserializeOwned;

use crate::{SessionRejection, extract::innermost, rejection::plain};

/// Extracts the form that the visitor sent, as a `T` or as the reasons why it is none.
///
/// It takes `application/x-www-form-urlencoded`, the text fields of `multipart/form-data` and JSON
/// objects; for `GET` and `HEAD` the query. Names nest (`user[name]`, `tags[]`), and text turns
/// into the numbers, booleans and options that `T` asks for.
///
/// The session remembers what was sent, valid or not, so that
/// [`flash_all`](cloakroom::Session::flash_all) can give it back to the form:
///
/// ```
/// use axum::response::{IntoResponse, Response};
/// use cloakroom_axum::{Back, Input, Session, SessionError};
///
/// #[derive(serde::Deserialize)]
/// struct SignUp { username: String, age: Option<u8> }
///
/// async fn sign_up(session: Session, back: Back, input: Input<SignUp>) -> Result<Response, SessionError> {
///     let form = match input.into_result() {
///         Ok(form) => form,
///         Err(errors) => {
///             session.with_errors(errors)?.flash_all()?;
///             return Ok(back.or("/sign-up").into_response());
///         }
///     };
///     session.put("username", form.username)?;
///     Ok("Welcome!".into_response())
/// }
/// ```
///
/// The body may have 2 MiB, or what [`DefaultBodyLimit`](axum_core::extract::DefaultBodyLimit) says.
#[derive(Clone, Debug)]
pub struct Input<T>(Result<T, FieldErrors>);

impl<T> Input<T> {
    /// The form, or by field what is wrong with it.
    ///
    /// # Errors
    /// When what was sent is not a `T`.
    pub fn into_result(self) -> Result<T, FieldErrors> {
        self.0
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = InputRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, InputRejection> {
        let visit = innermost(request.extensions())?.clone();
        if visit.input().is_none() {
            visit.capture(read(request, state).await?);
        }
        let input = visit.input().unwrap_or_default();
        Ok(Self(input.deserialize()))
    }
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<FormInput, InputRejection> {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        let query = request.uri().query().unwrap_or_default();
        return Ok(FormInput::from_query(query).map_err(Reason::Form)?);
    }
    let (parts, body) = request.into_parts();
    let content_type = content_type(&parts).map(ToOwned::to_owned);
    let body = Bytes::from_request(Request::from_parts(parts, body), state).await;
    let body = body.map_err(|rejection| Reason::Body(rejection.into_response()))?;
    Ok(FormInput::parse(content_type.as_deref(), body).await.map_err(Reason::Form)?)
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
