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
    form::{FieldErrors, FormError, FormInput, IntoFieldErrors, Submission},
};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::{
    Back, SessionError, SessionRejection,
    extract::innermost,
    headers::RequestHeaders,
    rejection::{plain, status},
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
/// [asks for JSON](cloakroom::form::wants_json). Where a `GET` is answered by the page that has the form,
/// take [`into_result`](Self::into_result): the way back would lead to the same request again.
///
/// ```
/// use actix_web::web::Redirect;
/// use cloakroom_actix::{Input, Session, SessionError};
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
///     Ok(Redirect::to("/welcome").see_other())
/// }
/// ```
///
/// The body may have 256 kB, or what [`PayloadConfig`](actix_web::web::PayloadConfig) says. Asking
/// for the form of a request that wants a page loads its session.
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
            let headers = RequestHeaders(request.headers());
            let submission = Submission::of(&visit, &headers, Back::of(&request)).await;
            Ok(Self(submission.map_err(SessionRejection::not_loaded).map_err(Reason::Session)?))
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

/// Why a request's form could not be taken: no session middleware (500), a session that cannot be loaded
/// (503 or 500), a body that is too long (413), a content type that is no form (415), or a body that
/// is not what its content type says (400).
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
            Reason::Form(error) => status(error.http_status()),
        }
    }

    fn error_response(&self) -> HttpResponse {
        match &self.0 {
            Reason::Session(rejection) => rejection.error_response(),
            Reason::Body(error) => error.error_response(),
            Reason::Form(error) => plain(self.status_code(), error.to_string()),
        }
    }
}
