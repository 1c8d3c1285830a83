//! Why a store could not do its work.

use std::{error::Error as StdError, fmt};

/// The error of a store.
///
/// ```
/// use cloakroom_store::StoreError;
///
/// let error = StoreError::unavailable("connect to 10.0.0.7:6379", "timed out after 1 s");
/// assert!(error.is_unavailable());
/// assert_eq!(error.to_string(), "could not connect to 10.0.0.7:6379");
/// ```
#[derive(Debug)]
pub struct StoreError {
    attempted: String,
    unavailable: bool,
    cause: Box<dyn StdError + Send + Sync>,
}

impl StoreError {
    /// Reports that the store could not be reached or did not reply in time. `attempted` completes
    /// the sentence "could not …".
    pub fn unavailable(
        attempted: impl Into<String>,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { attempted: attempted.into(), unavailable: true, cause: cause.into() }
    }

    /// Reports that the store refused or failed. `attempted` completes the sentence "could not …".
    pub fn failed(
        attempted: impl Into<String>,
        cause: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { attempted: attempted.into(), unavailable: false, cause: cause.into() }
    }

    /// Returns whether the same call may succeed later.
    pub fn is_unavailable(&self) -> bool {
        self.unavailable
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "could not {}", self.attempted)
    }
}

impl StdError for StoreError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.cause)
    }
}
