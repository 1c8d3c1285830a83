//! The request's form.

use axum_core::{
    body::Body,
    extract::{FromRequest, Request},
    response::IntoResponse,
};
use bytes::Bytes;
use cloakroom::{
    Visit,
    form::{BodyError, FieldErrors, FormInput, IntoFieldErrors, Submission},
    visit::Failure,
};
use http::{Method, StatusCode, header::CONTENT_TYPE, request::Parts};
use serde::de::DeserializeOwned;

use crate::{
    Back, InputRejection, SessionError, SessionRejection, extract::innermost,
    headers::RequestHeaders,
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
/// A body with a `Content-Encoding` gets status 415 and is not read: nothing here decompresses. Asking
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

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = InputRejection;

    async fn from_request(request: Request, state: &S) -> Result<Self, InputRejection> {
        let visit = innermost(request.extensions(), request.headers())?.clone();
        let (parts, body) = request.into_parts();
        let captured = capture(&visit, &parts, body, state).await;
        captured.map_err(|failure| InputRejection::of(failure, &parts.headers))?;
        let headers = RequestHeaders(&parts.headers);
        let submission = Submission::of(&visit, &headers, Back::of(&parts)).await;
        let not_loaded = |error| SessionRejection::not_loaded(error, &parts.headers);
        Ok(Self(submission.map_err(not_loaded)?))
    }
}

async fn capture<S: Send + Sync>(
    visit: &Visit,
    parts: &Parts,
    body: Body,
    state: &S,
) -> Result<(), Failure> {
    let input = if matches!(parts.method, Method::GET | Method::HEAD) {
        FormInput::from_query(parts.uri.query().unwrap_or_default())
    } else {
        FormInput::check_encoding(&RequestHeaders(&parts.headers)).map_err(Failure::NotAForm)?;
        // Also where the CSRF layer has captured the form: its limit is not that of this route.
        let body = read(Request::from_parts(parts.clone(), body), state).await?;
        if visit.input().is_some() {
            return Ok(());
        }
        let content_type = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
        FormInput::parse(content_type, body).await
    };
    visit.capture(input.map_err(Failure::NotAForm)?);
    Ok(())
}

/// The whole body, within the limit of extractors.
async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Failure> {
    let body = Bytes::from_request(request, state).await;
    body.map_err(|rejection| match rejection.into_response().status() {
        StatusCode::PAYLOAD_TOO_LARGE => BodyError::TooLarge.into_failure(None),
        _ => BodyError::Broken.into_failure(None),
    })
}
