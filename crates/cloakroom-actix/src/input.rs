//! The request's form.

use std::fmt;

use actix_web::{
    Error, FromRequest, HttpRequest, HttpResponse, ResponseError,
    dev::Payload,
    http::{
        Method, StatusCode,
        header::{CONTENT_TYPE, HeaderMap},
    },
    web::Bytes,
};
use cloakroom::{
    Visit,
    form::{FieldErrors, FormError, FormInput},
};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::{SessionRejection, extract::innermost};

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
/// use actix_web::HttpResponse;
/// use cloakroom_actix::{Back, Input, Session, SessionError};
///
/// #[derive(serde::Deserialize)]
/// struct SignUp { username: String, age: Option<u8> }
///
/// async fn sign_up(session: Session, back: Back, input: Input<SignUp>) -> Result<HttpResponse, SessionError> {
///     let form = match input.into_result() {
///         Ok(form) => form,
///         Err(errors) => {
///             session.with_errors(errors)?.flash_all()?;
///             return Ok(back.or("/sign-up"));
///         }
///     };
///     session.put("username", form.username)?;
///     Ok(HttpResponse::Ok().body("Welcome!"))
/// }
/// ```
///
/// The body may have 256 kB, or what [`PayloadConfig`](actix_web::web::PayloadConfig) says.
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

impl<T: DeserializeOwned + 'static> FromRequest for Input<T> {
    type Error = InputRejection;
    type Future = LocalBoxFuture<'static, Result<Self, InputRejection>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let visit = innermost(&request).map_err(Reason::Session)?;
            if visit.input().is_none() {
                capture(&visit, &request, payload).await?;
            }
            Ok(Self(visit.input().unwrap_or_default().deserialize()))
        })
    }
}

async fn capture(
    visit: &Visit,
    request: &HttpRequest,
    mut payload: Payload,
) -> Result<(), InputRejection> {
    let input = if matches!(*request.method(), Method::GET | Method::HEAD) {
        FormInput::from_query(request.query_string())
    } else {
        let body = Bytes::from_request(request, &mut payload).await.map_err(Reason::Body)?;
        FormInput::parse(content_type(request.headers()), body).await
    };
    visit.capture(input.map_err(Reason::Form)?);
    Ok(())
}

pub(crate) fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()
}

/// Why a request's form could not be read: no session middleware, a body that is too long (413), a
/// content type that is no form (415), or a body that is not what its content type says (400).
#[derive(Debug)]
pub struct InputRejection(Reason);

#[derive(Debug)]
enum Reason {
    Session(SessionRejection),
    Body(Error),
    Form(FormError),
}

impl From<Reason> for InputRejection {
    fn from(reason: Reason) -> Self {
        Self(reason)
    }
}

impl fmt::Display for InputRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::Session(rejection) => rejection.fmt(f),
            Reason::Body(error) => error.fmt(f),
            Reason::Form(error) => error.fmt(f),
        }
    }
}

impl ResponseError for InputRejection {
    fn status_code(&self) -> StatusCode {
        match &self.0 {
            Reason::Session(rejection) => rejection.status_code(),
            Reason::Body(error) => error.as_response_error().status_code(),
            Reason::Form(error) if error.is_unsupported_type() => {
                StatusCode::UNSUPPORTED_MEDIA_TYPE
            }
            Reason::Form(_) => StatusCode::BAD_REQUEST,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match &self.0 {
            Reason::Session(rejection) => rejection.error_response(),
            Reason::Body(error) => error.error_response(),
            Reason::Form(error) => HttpResponse::build(self.status_code()).body(error.to_string()),
        }
    }
}
