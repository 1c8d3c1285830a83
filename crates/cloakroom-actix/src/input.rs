//! The request's form.

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{Method, StatusCode, header::CONTENT_TYPE},
    web::Bytes,
};
use cloakroom::{
    Visit,
    form::{BodyError, FieldErrors, FormInput, IntoFieldErrors, Submission},
    visit::Failure,
};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use crate::{
    Back, InputRejection, SessionError, SessionRejection, extract::innermost,
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
/// The body may have 256 kB, or what [`PayloadConfig`](actix_web::web::PayloadConfig) says. A body
/// with a `Content-Encoding` gets status 415 and is not read, because a few hundred bytes can
/// decompress to a gigabyte. Asking for the form of a request that wants a page loads its session.
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
            let visit = innermost(&request)?;
            let captured = capture(&visit, &request, payload).await;
            captured.map_err(|failure| InputRejection::of(failure, request.headers()))?;
            let headers = RequestHeaders(request.headers());
            let submission = Submission::of(&visit, &headers, Back::of(&request)).await;
            let not_loaded = |error| SessionRejection::not_loaded(error, request.headers());
            Ok(Self(submission.map_err(not_loaded)?))
        })
    }
}

async fn capture(
    visit: &Visit,
    request: &HttpRequest,
    mut payload: Payload,
) -> Result<(), Failure> {
    let input = if matches!(*request.method(), Method::GET | Method::HEAD) {
        FormInput::from_query(request.query_string())
    } else {
        // `Bytes` decompresses each chunk as a whole before it looks at its limit.
        let headers = RequestHeaders(request.headers());
        FormInput::check_encoding(&headers).map_err(Failure::NotAForm)?;
        // Also where the CSRF middleware has captured the form: its limit is not that of this route.
        let body = read(request, &mut payload).await?;
        if visit.input().is_some() {
            return Ok(());
        }
        let content_type = request.headers().get(CONTENT_TYPE);
        FormInput::parse(content_type.and_then(|value| value.to_str().ok()), body).await
    };
    visit.capture(input.map_err(Failure::NotAForm)?);
    Ok(())
}

/// The whole body, within the limit of extractors.
async fn read(request: &HttpRequest, payload: &mut Payload) -> Result<Bytes, Failure> {
    let body = Bytes::from_request(request, payload).await;
    body.map_err(|error| match error.as_response_error().status_code() {
        StatusCode::PAYLOAD_TOO_LARGE => BodyError::TooLarge.into_failure(None),
        _ => BodyError::Broken.into_failure(None),
    })
}
