//! Failures, as responses: clients get a status, the log gets the reason.

use std::fmt;

use axum_core::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::StatusCode;

use crate::InvalidInput;

/// Why an extractor of this crate failed.
///
/// The client gets 503 where the store cannot be reached and 500 otherwise, both without a body;
/// the reason goes to the log.
#[derive(Debug)]
pub struct SessionRejection(Reason);

#[derive(Debug)]
enum Reason {
    NoLayer,
    NotLoaded(cloakroom::Error),
}

impl SessionRejection {
    pub(crate) fn no_layer() -> Self {
        Self(Reason::NoLayer)
    }

    pub(crate) fn not_loaded(error: cloakroom::Error) -> Self {
        Self(Reason::NotLoaded(error))
    }
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::NoLayer => f.write_str(
                "this route has no session: add `.layer(SessionLayer::new(sessions))` to the \
                 router, after its routes and after the layers that use sessions",
            ),
            Reason::NotLoaded(error) => write!(f, "the session could not be loaded: {error}"),
        }
    }
}

impl std::error::Error for SessionRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Reason::NoLayer => None,
            Reason::NotLoaded(error) => error.source(),
        }
    }
}

impl IntoResponse for SessionRejection {
    fn into_response(self) -> Response {
        tracing::error!(cause = self.0.cause(), "{self}");
        match self.0 {
            Reason::NoLayer => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            Reason::NotLoaded(error) => status_of(&error).into_response(),
        }
    }
}

impl Reason {
    fn cause(&self) -> Option<String> {
        match self {
            Self::NoLayer => None,
            Self::NotLoaded(error) => Some(format!("{error:?}")),
        }
    }
}

/// A [`cloakroom::Error`] as a handler's error: `?` turns one into it, and it turns into a response
/// of status 503 or 500 without a body. What the session holds by then is committed as usual.
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

#[derive(Debug)]
enum Failure {
    Session(cloakroom::Error),
    Input(Box<InvalidInput>),
}

impl From<cloakroom::Error> for SessionError {
    fn from(error: cloakroom::Error) -> Self {
        Self(Failure::Session(error))
    }
}

/// So that a handler can check its form with `?` as well.
impl From<InvalidInput> for SessionError {
    fn from(invalid: InvalidInput) -> Self {
        Self(Failure::Input(Box::new(invalid)))
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Failure::Session(error) => error.fmt(f),
            Failure::Input(invalid) => invalid.fmt(f),
        }
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Failure::Session(error) => error.source(),
            Failure::Input(_) => None,
        }
    }
}

impl IntoResponse for SessionError {
    fn into_response(self) -> Response {
        match self.0 {
            Failure::Session(error) => {
                tracing::error!(?error, "a handler's session operation failed");
                status_of(&error).into_response()
            }
            Failure::Input(invalid) => invalid.into_response(),
        }
    }
}

/// A plain answer to a request that cannot be served as it is.
pub(crate) fn plain(status: StatusCode, message: String) -> Response {
    (status, Body::from(message)).into_response()
}

/// What a client is told of an error.
pub(crate) fn status_of(error: &cloakroom::Error) -> StatusCode {
    StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
