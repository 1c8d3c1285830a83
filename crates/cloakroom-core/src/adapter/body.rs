//! The body of a request that may be a form.

use std::fmt;

use crate::adapter::error::AdapterError;

/// The reason why an adapter could not read a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The body is longer than the limit.
    TooLarge,
    /// The connection broke off, or the body's framing violates HTTP.
    Broken,
    /// Another extractor or middleware has taken the body.
    Taken,
}

impl BodyError {
    /// Returns the reason behind the status with which a framework refuses a body.
    #[cfg(any(feature = "axum", feature = "actix"))]
    pub(super) fn of_status(status: u16) -> Self {
        if status == 413 { Self::TooLarge } else { Self::Broken }
    }

    /// Converts it into the failure that the client gets. `limit` is the limit in bytes, if it is known.
    pub fn into_failure(self, limit: Option<usize>) -> AdapterError {
        match self {
            Self::TooLarge => AdapterError::BodyTooLarge { limit },
            Self::Broken => AdapterError::BodyBroken,
            Self::Taken => AdapterError::BodyTaken,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the body is longer than the limit",
            Self::Broken => "the body broke off",
            Self::Taken => "another extractor has taken the body",
        })
    }
}

impl std::error::Error for BodyError {}
