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
    Session, Visit,
    form::{FieldErrors, FormError, FormInput, IntoFieldErrors, wants_json},
};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::{
    Back, SessionError, SessionRejection,
    extract::{innermost, load},
    headers::RequestHeaders,
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

impl ResponseError for InvalidInput {
    fn status_code(&self) -> StatusCode {
        match self.session {
            Some(_) => StatusCode::SEE_OTHER,
            None => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let Some(session) = &self.session else {
            return HttpResponse::UnprocessableEntity()
                .json(serde_json::json!({ "errors": self.errors }));
        };
        match session.with_errors(&self.errors).and_then(cloakroom::Session::flash_all) {
            Ok(_) => self.back.or(&self.fallback),
            Err(error) => SessionError::from(error).error_response(),
        }
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
            let form = visit.input().unwrap_or_default().deserialize();
            let session = if wants_json(&RequestHeaders(request.headers())) {
                None
            } else {
                Some(load(&request, &visit).await.map_err(Reason::Session)?)
            };
            Ok(Self { form, session, back: Back::of(&request), fallback: "/".to_owned() })
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
