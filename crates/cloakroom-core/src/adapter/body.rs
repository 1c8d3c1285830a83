//! The body of a request that may be a form.

use std::fmt;

use bytes::Bytes;

use crate::{adapter::error::AdapterError, form::FormInput, http::headers::Headers};

/// Reads the fields of a body, as its `Content-Type` says.
///
/// Extractors and CSRF layers both call this function, so they agree on which bodies are forms.
pub(super) async fn parse(
    headers: &(impl Headers + ?Sized),
    body: Bytes,
) -> Result<FormInput, AdapterError> {
    let input = FormInput::parse(headers.text("content-type"), body).await;
    input.map_err(AdapterError::NotAForm)
}

/// The reason why an adapter could not read a request's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BodyError {
    /// The body is longer than the limit.
    TooLarge,
    /// The connection broke off, or the body's framing violates HTTP.
    Broken,
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
