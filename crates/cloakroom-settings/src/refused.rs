//! Settings of a store that cannot be used.

use crate::SettingsError;

/// A setting that cannot be used, and what is accepted.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) key: &'static str,
    pub(super) problem: String,
}

impl Refused {
    pub(super) fn new(key: &'static str, problem: impl Into<String>) -> Self {
        Self { key, problem: problem.into() }
    }
}

impl From<Refused> for SettingsError {
    fn from(Refused { key, problem }: Refused) -> Self {
        Self::settings(format!("`{key}`: {problem}"))
    }
}
