//! Failures, as responses.

use std::{error::Error as StdError, fmt};

use axum_core::response::{IntoResponse, Response};
use cloakroom::{
    Error,
    form::InvalidForm,
    visit::{Answer, Failure, Problem},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION, VARY},
};

use crate::headers::RequestHeaders;

const NO_LAYER: &str = "add `.layer(SessionLayer::new(sessions))` to the router, after its routes \
                        and after the layers that use sessions";

/// Why an extractor of this crate failed.
///
/// The client gets 503 where the store cannot be reached and 500 otherwise, without the reason, which
/// goes to the log. [`SessionLayer::on_failure`](crate::SessionLayer::on_failure) replaces the
/// response.
#[derive(Debug)]
pub struct SessionRejection(Problem);

impl SessionRejection {
    pub(crate) fn no_layer(headers: &HeaderMap) -> Self {
        Self::of(Failure::NoSession(NO_LAYER.to_owned()), headers)
    }

    pub(crate) fn not_named(cookie: &str, headers: &HeaderMap) -> Self {
        let advice = format!("none is for the cookie `{cookie}`; {NO_LAYER}");
        Self::of(Failure::NoSession(advice), headers)
    }

    pub(crate) fn not_loaded(error: Error, headers: &HeaderMap) -> Self {
        Self::of(Failure::NotLoaded(error), headers)
    }

    fn of(failure: Failure, headers: &HeaderMap) -> Self {
        Self(Problem::of_request(failure, &RequestHeaders(headers)))
    }
}

/// What a handler's `?` makes of a session's error or of an invalid form, and what becomes of it.
///
/// A [`cloakroom::Error`] turns into a response of status 503 or 500 without the reason; the
/// session's changes are committed as usual.
/// [`SessionLayer::on_failure`](crate::SessionLayer::on_failure) replaces it. An invalid form turns
/// into the answer that [`Input`](crate::Input) describes.
///
/// ```
/// use cloakroom_axum::{Session, SessionError};
///
/// async fn count(session: Session) -> Result<String, SessionError> {
///     Ok(session.increment("visits")?.to_string())
/// }
/// ```
#[derive(Debug)]
pub struct SessionError(Problem);

/// Why a request's form could not be taken: no session layer (500), a session that cannot be loaded
/// (503 or 500), a body that is too long (413), a content type that is no form or a content encoding
/// (415), or a body that is not what its content type says (400).
/// [`SessionLayer::on_failure`](crate::SessionLayer::on_failure) replaces the response.
#[derive(Debug)]
pub struct InputRejection(Problem);

impl InputRejection {
    pub(crate) fn of(failure: Failure, headers: &HeaderMap) -> Self {
        Self(Problem::of_request(failure, &RequestHeaders(headers)))
    }
}

impl From<SessionRejection> for InputRejection {
    fn from(rejection: SessionRejection) -> Self {
        Self(rejection.0)
    }
}

impl From<Error> for SessionError {
    fn from(error: Error) -> Self {
        Self(Failure::from(error).into())
    }
}

impl From<InvalidForm> for SessionError {
    fn from(invalid: InvalidForm) -> Self {
        Self(Failure::from(invalid).into())
    }
}

macro_rules! failure {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl StdError for $name {
            fn source(&self) -> Option<&(dyn StdError + 'static)> {
                self.0.source()
            }
        }

        impl IntoResponse for $name {
            fn into_response(self) -> Response {
                respond(self.0)
            }
        }
    };
}

failure!(SessionRejection);
failure!(SessionError);
failure!(InputRejection);

/// Makes the library's own response and leaves the problem in its extensions, for the session layer
/// and for middleware of the application.
pub(crate) fn respond(problem: Problem) -> Response {
    problem.log();
    let mut response = render(problem.answer());
    if problem.is_replaceable() {
        response.extensions_mut().insert(problem);
    }
    response
}

pub(crate) fn render(answer: Answer) -> Response {
    let mut response = match (answer.location, answer.content) {
        (Some(target), _) => see_other(&target),
        (None, Some((content_type, body))) => {
            ([(CONTENT_TYPE, content_type)], body).into_response()
        }
        (None, None) => ().into_response(),
    };
    if let Some(vary) = answer.vary {
        response.headers_mut().insert(VARY, HeaderValue::from_static(vary));
    }
    let status = StatusCode::from_u16(answer.status);
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// `303 See Other`: the browser follows with a GET whatever the method was.
pub(crate) fn see_other(target: &str) -> Response {
    let location = HeaderValue::try_from(target).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}
