//! Failures that the library replies to: clients get a status, and the log gets the reason.

use std::{error::Error as StdError, fmt};

use super::require_owner::SignInRequired;
use crate::{error::Error, form::FormError, web::csrf::CsrfRejection};

/// The reason why the library makes the response instead of the application. It is part of a
/// [`Problem`](super::Problem), which handlers for failures get.
#[derive(Debug)]
#[non_exhaustive]
pub enum AdapterError {
    /// No session layer is around the route. Contains the advice for the log. Status 500.
    NoSession(String),
    /// The session could not be loaded. Status 503 or 500, by [`Error::http_status`].
    NotLoaded(Error),
    /// An operation on the session failed, or a form is not valid. Status by [`Error::http_status`].
    Operation(Error),
    /// The session could not be committed, and the handler's response must not be sent. Status 503
    /// or 500.
    NotCommitted(Error),
    /// The handler panicked after an earlier commit of the request has changed the cookie, and the
    /// response has this cookie. If there is no such cookie, the panic goes on. Status 500.
    Panicked,
    /// The request may be forged. Status 403.
    Forged(CsrfRejection),
    /// The visitor has to sign in first, or again. Status 401, or 303 with a sign-in page.
    SignInRequired(SignInRequired),
    /// The form is longer than the limit in bytes, if that is known. Status 413.
    BodyTooLarge {
        /// The limit in bytes.
        limit: Option<usize>,
    },
    /// The form's body could not be read to its end. Status 400.
    BodyBroken,
    /// Another extractor or middleware has taken the body before this one. Status 500.
    BodyTaken,
    /// The body is not a form. Status 415 or 400, by [`FormError::http_status`].
    NotAForm(FormError),
}

impl AdapterError {
    /// Returns the status of its response.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::NoSession(_) | Self::Panicked | Self::BodyTaken => 500,
            Self::NotLoaded(error) | Self::Operation(error) | Self::NotCommitted(error) => {
                error.http_status()
            }
            Self::Forged(_) => 403,
            Self::SignInRequired(SignInRequired { page: Some(_), .. }) => 303,
            Self::SignInRequired(_) => 401,
            Self::BodyTooLarge { .. } => 413,
            Self::BodyBroken => 400,
            Self::NotAForm(error) => error.http_status(),
        }
    }

    /// Returns one stable word for the kind of failure: `no_session_layer`, `panicked`, an
    /// [`Error::code`], a [`CsrfRejection::reason`], `not_signed_in`, `signed_in_too_long_ago`,
    /// `level_too_low`, `body_too_large`, `body_broken`, `body_taken`, `not_a_form` or `invalid_form`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSession(_) => "no_session_layer",
            Self::Panicked => "panicked",
            Self::NotLoaded(error) | Self::Operation(error) | Self::NotCommitted(error) => {
                error.code()
            }
            Self::Forged(refusal) => refusal.reason(),
            Self::SignInRequired(required) => required.code(),
            Self::BodyTooLarge { .. } => "body_too_large",
            Self::BodyBroken => "body_broken",
            Self::BodyTaken => "body_taken",
            Self::NotAForm(_) => "not_a_form",
        }
    }

    /// Returns the sentence for developers about a request that may be forged.
    pub(super) fn explanation(&self) -> Option<&'static str> {
        match self {
            Self::Forged(refusal) => Some(refusal.explanation()),
            _ => None,
        }
    }

    fn cause(&self) -> Option<&Error> {
        match self {
            Self::NotLoaded(error) | Self::Operation(error) | Self::NotCommitted(error) => {
                Some(error)
            }
            _ => None,
        }
    }
}

impl From<Error> for AdapterError {
    fn from(error: Error) -> Self {
        Self::Operation(error)
    }
}

impl From<CsrfRejection> for AdapterError {
    fn from(refusal: CsrfRejection) -> Self {
        Self::Forged(refusal)
    }
}

impl fmt::Display for AdapterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession(advice) => write!(f, "this route has no session: {advice}"),
            Self::NotLoaded(error) => write!(f, "the session could not be loaded: {error}"),
            Self::Operation(error) => error.fmt(f),
            Self::NotCommitted(error) => {
                write!(f, "the session could not be committed; the response is dropped: {error}")
            }
            Self::Panicked => f.write_str(
                "the handler panicked after a commit; the response has the session's cookie",
            ),
            Self::Forged(refusal) => refusal.fmt(f),
            Self::SignInRequired(required) => required.fmt(f),
            Self::BodyTooLarge { limit: Some(limit) } => write!(
                f,
                "the form is longer than {limit} bytes; send less, or the CSRF token in the header \
                 `X-CSRF-Token`"
            ),
            Self::BodyTooLarge { limit: None } => {
                f.write_str("the form is longer than this address accepts; send less")
            }
            Self::BodyBroken => {
                f.write_str("the request's body could not be read to its end; send it again")
            }
            Self::BodyTaken => f.write_str(
                "the form's body is gone, because another extractor of the handler or middleware has \
                 taken it; take the body once, as `Input`",
            ),
            Self::NotAForm(error) => error.fmt(f),
        }
    }
}

impl StdError for AdapterError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause()?.source()
    }
}
