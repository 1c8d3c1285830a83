//! Failures, as responses.

use std::{error::Error as StdError, fmt};

use axum_core::response::{IntoResponse, Response};
use cloakroom::{
    Error,
    form::InvalidForm,
    visit::{Answer, Failure},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION},
};

const NO_LAYER: &str = "add `.layer(SessionLayer::new(sessions))` to the router, after its routes \
                        and after the layers that use sessions";

/// Why an extractor of this crate failed.
///
/// The client gets 503 where the store cannot be reached and 500 otherwise, both without a body;
/// the reason goes to the log.
#[derive(Debug)]
pub struct SessionRejection(Failure);

impl SessionRejection {
    pub(crate) fn no_layer() -> Self {
        Self(Failure::NoSession(NO_LAYER.to_owned()))
    }

    pub(crate) fn not_named(cookie: &str) -> Self {
        Self(Failure::NoSession(format!("none is for the cookie `{cookie}`; {NO_LAYER}")))
    }

    pub(crate) fn not_loaded(error: Error) -> Self {
        Self(Failure::NotLoaded(error))
    }
}

/// What a handler's `?` makes of a session's error or of an invalid form, and what becomes of it.
///
/// A [`cloakroom::Error`] turns into a response of status 503 or 500 without a body; what the
/// session holds by then is committed as usual. An invalid form turns into the answer that
/// [`Input`](crate::Input) describes.
///
/// ```
/// use cloakroom_axum::{Session, SessionError};
///
/// async fn count(session: Session) -> Result<String, SessionError> {
///     Ok(session.increment("visits")?.to_string())
/// }
/// ```
#[derive(Debug)]
pub struct SessionError(Failure);

impl From<Error> for SessionError {
    fn from(error: Error) -> Self {
        Self(error.into())
    }
}

impl From<InvalidForm> for SessionError {
    fn from(invalid: InvalidForm) -> Self {
        Self(invalid.into())
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
                respond(self.0.answer())
            }
        }
    };
}

failure!(SessionRejection);
failure!(SessionError);

fn respond(answer: Answer) -> Response {
    let mut response = match (answer.location, answer.json) {
        (Some(target), _) => see_other(&target),
        (None, Some(json)) => ([(CONTENT_TYPE, "application/json")], json).into_response(),
        (None, None) => ().into_response(),
    };
    *response.status_mut() = status(answer.status);
    response
}

/// `303 See Other`: the browser follows with a GET whatever the method was.
pub(crate) fn see_other(target: &str) -> Response {
    let location = HeaderValue::try_from(target).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}

/// A plain answer to a request that cannot be served as it is.
pub(crate) fn plain(status: StatusCode, message: String) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], message).into_response()
}

/// A status that the core names.
pub(crate) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
