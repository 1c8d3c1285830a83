//! Reading the body that a form is in.

use std::fmt;

use crate::adapter::error::AdapterError;

/// Why an adapter could not read a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// It is longer than the limit.
    TooLarge,
    /// It broke off or is not framed as HTTP asks.
    Broken,
}

impl BodyError {
    /// Returns the failure that says so, with the limit in bytes where it is known.
    pub fn into_failure(self, limit: Option<usize>) -> AdapterError {
        match self {
            Self::TooLarge => AdapterError::BodyTooLarge { limit },
            Self::Broken => AdapterError::BodyBroken,
        }
    }
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the body is longer than the limit",
            Self::Broken => "the body broke off",
        })
    }
}

impl std::error::Error for BodyError {}
