//! Failures, as responses.

use std::{error::Error as StdError, fmt};

use actix_web::{
    HttpResponse, ResponseError,
    http::{StatusCode, header::ContentType},
};
use cloakroom::{
    Error,
    form::InvalidForm,
    visit::{Answer, Failure},
};

use crate::back::see_other;

const NO_MIDDLEWARE: &str = "add `.wrap(SessionMiddleware::new(sessions))` to the application or \
                             the scope, after the middleware that uses sessions";

/// Why an extractor of this crate failed.
///
/// The client gets 503 where the store cannot be reached and 500 otherwise, both without a body;
/// the reason goes to the log.
#[derive(Debug)]
pub struct SessionRejection(Failure);

impl SessionRejection {
    pub(crate) fn no_middleware() -> Self {
        Self(Failure::NoSession(NO_MIDDLEWARE.to_owned()))
    }

    pub(crate) fn not_named(cookie: &str) -> Self {
        Self(Failure::NoSession(format!("none is for the cookie `{cookie}`; {NO_MIDDLEWARE}")))
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

        impl ResponseError for $name {
            fn status_code(&self) -> StatusCode {
                status(self.0.http_status())
            }

            fn error_response(&self) -> HttpResponse {
                respond(self.0.answer())
            }
        }
    };
}

failure!(SessionRejection);
failure!(SessionError);

pub(crate) fn respond(answer: Answer) -> HttpResponse {
    let mut response = match (answer.location, answer.json) {
        (Some(target), _) => see_other(&target),
        (None, Some(json)) => HttpResponse::Ok().content_type(ContentType::json()).body(json),
        (None, None) => HttpResponse::Ok().finish(),
    };
    *response.status_mut() = status(answer.status);
    response
}

/// A plain answer to a request that cannot be served as it is.
pub(crate) fn plain(status: StatusCode, message: String) -> HttpResponse {
    HttpResponse::build(status).content_type(ContentType::plaintext()).body(message)
}

/// A status that the core names.
pub(crate) fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
