//! Failures between a handler and its session: clients get a status, the log gets the reason.

use std::{error::Error as StdError, fmt};

use crate::{
    error::{Error, WithCauses},
    form::InvalidForm,
    observe,
};

/// Why a response is not what the handler meant to answer. What an adapter's error types are made of:
/// they turn its [`answer`](Self::answer) into a response.
#[derive(Debug)]
#[non_exhaustive]
pub enum Failure {
    /// No session layer is around the route; with what to do about it.
    NoSession(String),
    /// The session could not be loaded.
    NotLoaded(Error),
    /// An operation on the session failed.
    Operation(Error),
    /// The session could not be committed, and the handler's response must not be sent.
    NotCommitted(Error),
    /// The form is not valid.
    Form(Box<InvalidForm>),
}

/// A response without a framework.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "it is what the client gets"]
#[non_exhaustive]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The `Location` of a redirect: visible ASCII.
    pub location: Option<String>,
    /// The body, of type `application/json`; without one it is empty.
    pub json: Option<String>,
}

impl Answer {
    pub(crate) fn of_status(status: u16) -> Self {
        Self { status, location: None, json: None }
    }
}

impl Failure {
    /// What the client gets. The log gets the reason, unless it is the client's own form.
    pub fn answer(&self) -> Answer {
        match self {
            Self::Form(invalid) => {
                invalid.answer().unwrap_or_else(|error| Self::Operation(error).logged())
            }
            _ => self.logged(),
        }
    }

    fn logged(&self) -> Answer {
        observe::failed(WithCauses(self));
        Answer::of_status(self.http_status())
    }

    /// The status of its answer.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::NoSession(_) => 500,
            Self::NotLoaded(error) | Self::Operation(error) | Self::NotCommitted(error) => {
                error.http_status()
            }
            Self::Form(invalid) => invalid.http_status(),
        }
    }

    fn cause(&self) -> Option<&Error> {
        match self {
            Self::NotLoaded(error) | Self::Operation(error) | Self::NotCommitted(error) => {
                Some(error)
            }
            Self::NoSession(_) | Self::Form(_) => None,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Operation(error)
    }
}

impl From<InvalidForm> for Failure {
    fn from(invalid: InvalidForm) -> Self {
        Self::Form(Box::new(invalid))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSession(advice) => write!(f, "this route has no session: {advice}"),
            Self::NotLoaded(error) => write!(f, "the session could not be loaded: {error}"),
            Self::Operation(error) => error.fmt(f),
            Self::NotCommitted(error) => {
                write!(f, "the session could not be committed; the response is dropped: {error}")
            }
            Self::Form(invalid) => invalid.fmt(f),
        }
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause()?.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    #[test]
    fn clients_are_told_a_status_and_nothing_else() {
        let too_large = || Error::from(Kind::TooLarge { size: 2, limit: 1 });
        for failure in [
            Failure::NoSession("add the layer".to_owned()),
            Failure::NotLoaded(too_large()),
            Failure::Operation(too_large()),
        ] {
            assert_eq!(failure.answer(), Answer::of_status(500));
        }
    }
}
