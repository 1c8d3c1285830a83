//! Failures, as responses: clients get a status, the log gets the reason.

use std::fmt;

use actix_web::{HttpResponse, ResponseError, http::StatusCode};

use crate::InvalidInput;

/// Why an extractor of this crate failed.
///
/// The client gets 503 where the store cannot be reached and 500 otherwise, both without a body;
/// the reason goes to the log.
#[derive(Debug)]
pub struct SessionRejection(Reason);

#[derive(Debug)]
enum Reason {
    NoMiddleware,
    NotLoaded(cloakroom::Error),
}

impl SessionRejection {
    pub(crate) fn no_middleware() -> Self {
        Self(Reason::NoMiddleware)
    }

    pub(crate) fn not_loaded(error: cloakroom::Error) -> Self {
        Self(Reason::NotLoaded(error))
    }
}

impl fmt::Display for SessionRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Reason::NoMiddleware => f.write_str(
                "this route has no session: add `.wrap(SessionMiddleware::new(sessions))` to the \
                 application or the scope, after the middleware that uses sessions",
            ),
            Reason::NotLoaded(error) => write!(f, "the session could not be loaded: {error}"),
        }
    }
}

impl std::error::Error for SessionRejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0 {
            Reason::NoMiddleware => None,
            Reason::NotLoaded(error) => error.source(),
        }
    }
}

impl ResponseError for SessionRejection {
    fn status_code(&self) -> StatusCode {
        match &self.0 {
            Reason::NoMiddleware => StatusCode::INTERNAL_SERVER_ERROR,
            Reason::NotLoaded(error) => status_of(error),
        }
    }

    fn error_response(&self) -> HttpResponse {
        let cause = match &self.0 {
            Reason::NoMiddleware => None,
            Reason::NotLoaded(error) => Some(format!("{error:?}")),
        };
        tracing::error!(cause, "{self}");
        HttpResponse::new(self.status_code())
    }
}

/// A [`cloakroom::Error`] as a handler's error: `?` turns one into it, and it turns into a response
/// of status 503 or 500 without a body. What the session holds by then is committed as usual.
///
/// A handler that returns [`actix_web::Error`] says `.map_err(SessionError::from)?`.
///
/// ```
/// use cloakroom_actix::{Session, SessionError};
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

impl ResponseError for SessionError {
    fn status_code(&self) -> StatusCode {
        match &self.0 {
            Failure::Session(error) => status_of(error),
            Failure::Input(invalid) => invalid.status_code(),
        }
    }

    fn error_response(&self) -> HttpResponse {
        match &self.0 {
            Failure::Session(error) => {
                tracing::error!(?error, "a handler's session operation failed");
                HttpResponse::new(status_of(error))
            }
            Failure::Input(invalid) => invalid.error_response(),
        }
    }
}

/// What a client is told of an error.
pub(crate) fn status_of(error: &cloakroom::Error) -> StatusCode {
    StatusCode::from_u16(error.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
