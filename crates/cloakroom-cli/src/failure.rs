//! The failure of a command.

use std::fmt;

use cloakroom::{WithCauses, settings::SettingsError};

/// A message and an exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// The command failed, or found a problem.
    Failed,
    /// The command line or the settings are invalid. Nothing was attempted.
    Unusable,
}

impl Failure {
    /// Makes a failure with a cause. `attempted` completes the sentence "could not …".
    pub(crate) fn new(attempted: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self::failed(format!("could not {attempted}: {cause}"))
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Kind::Failed }
    }

    /// Makes the failure of a command that Ctrl-C stopped.
    pub(crate) fn stopped(so_far: impl fmt::Display) -> Self {
        Self::failed(format!("stopped; {so_far}"))
    }

    pub(crate) fn unusable(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Kind::Unusable }
    }

    pub(crate) fn exit_code(&self) -> u8 {
        match self.kind {
            Kind::Failed => 1,
            Kind::Unusable => 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::unusable(error.to_string())
    }
}

impl From<cloakroom::Error> for Failure {
    fn from(error: cloakroom::Error) -> Self {
        let message = WithCauses(&error).to_string();
        if error.is_unsupported() { Self::unusable(message) } else { Self::failed(message) }
    }
}

impl From<cloakroom::store::StoreError> for Failure {
    fn from(error: cloakroom::store::StoreError) -> Self {
        Self::failed(WithCauses(&error).to_string())
    }
}
