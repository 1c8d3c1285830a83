//! Failures, as responses.

use std::{error::Error as StdError, fmt};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{HeaderMap, HeaderValue, VARY},
    },
};
use cloakroom::{
    Error, Visit,
    form::InvalidForm,
    visit::{Answer, Failure, Problem},
};

use crate::{back::see_other, headers::RequestHeaders};

const NO_MIDDLEWARE: &str = "add `.wrap(SessionMiddleware::new(sessions))` to the application or \
                             the scope, after the middleware that uses sessions";

/// Why an extractor of this crate failed.
///
/// The client gets 503 where the store cannot be reached and 500 otherwise, without the reason, which
/// goes to the log. [`SessionMiddleware::on_failure`](crate::SessionMiddleware::on_failure) replaces
/// the response.
#[derive(Debug)]
pub struct SessionRejection(Problem);

impl SessionRejection {
    pub(crate) fn no_middleware(headers: &HeaderMap) -> Self {
        Self::of(Failure::NoSession(NO_MIDDLEWARE.to_owned()), headers)
    }

    pub(crate) fn not_named(cookie: &str, headers: &HeaderMap) -> Self {
        let advice = format!("none is for the cookie `{cookie}`; {NO_MIDDLEWARE}");
        Self::of(Failure::NoSession(advice), headers)
    }

    pub(crate) fn not_loaded(error: Error, headers: &HeaderMap) -> Self {
        Self::of(Failure::NotLoaded(error), headers)
    }

    pub(crate) fn not_preloaded(error: Error, visit: &Visit) -> Self {
        Self(visit.complete(Failure::NotLoaded(error)))
    }

    fn of(failure: Failure, headers: &HeaderMap) -> Self {
        Self(Problem::of_request(failure, &RequestHeaders(headers)))
    }
}

/// What a handler's `?` makes of a session's error or of an invalid form, and what becomes of it.
///
/// A [`cloakroom::Error`] turns into a response of status 503 or 500 without the reason; the
/// session's changes are committed as usual.
/// [`SessionMiddleware::on_failure`](crate::SessionMiddleware::on_failure) replaces it. An invalid form
/// turns into the answer that [`Input`](crate::Input) describes.
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
pub struct SessionError(Problem);

/// Why a request's form could not be taken: no session middleware (500), a session that cannot be loaded
/// (503 or 500), a body that is too long (413), a content type that is no form or a content encoding
/// (415), or a body that is not what its content type says (400).
/// [`SessionMiddleware::on_failure`](crate::SessionMiddleware::on_failure) replaces the response.
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

/// Returns the problem that an error of this crate is made of, for middleware that returned it.
pub(crate) fn problem_of(error: &actix_web::Error) -> Option<&Problem> {
    let rejection = error.as_error().map(|SessionRejection(problem)| problem);
    let rejection = rejection.or_else(|| error.as_error().map(|SessionError(problem)| problem));
    rejection.or_else(|| error.as_error().map(|InputRejection(problem)| problem))
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

        impl ResponseError for $name {
            fn status_code(&self) -> StatusCode {
                status(self.0.http_status())
            }

            fn error_response(&self) -> HttpResponse {
                respond(&self.0)
            }
        }
    };
}

failure!(SessionRejection);
failure!(SessionError);
failure!(InputRejection);

/// Makes the library's own response and leaves the problem in its extensions, for the session
/// middleware and for middleware of the application.
pub(crate) fn respond(problem: &Problem) -> HttpResponse {
    problem.log();
    let mut response = render(problem.answer());
    if problem.is_replaceable() {
        response.extensions_mut().insert(problem.clone());
    }
    response
}

pub(crate) fn render(answer: Answer) -> HttpResponse {
    let mut response = match (answer.location, answer.content) {
        (Some(target), _) => see_other(&target),
        (None, Some((content_type, body))) => {
            HttpResponse::Ok().content_type(content_type).body(body)
        }
        (None, None) => HttpResponse::Ok().finish(),
    };
    if let Some(vary) = answer.vary {
        response.headers_mut().insert(VARY, HeaderValue::from_static(vary));
    }
    *response.status_mut() = status(answer.status);
    response
}

/// A status that the core names.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
