//! Why a command did not do what it was asked.

use std::fmt;

use cloakroom::settings::SettingsError;

/// One line, and the exit code that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    kind: Kind,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    /// It was tried, and something is wrong.
    Failed,
    /// It was not tried: the command or the settings cannot be used.
    Unusable,
}

impl Failure {
    /// What was attempted did not work out. `attempted` completes the sentence "could not …".
    pub(crate) fn new(attempted: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self::failed(format!("could not {attempted}: {cause}"))
    }

    pub(crate) fn failed(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Kind::Failed }
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
        let message = with_causes(&error);
        if error.is_unsupported() { Self::unusable(message) } else { Self::failed(message) }
    }
}

impl From<cloakroom::store::StoreError> for Failure {
    fn from(error: cloakroom::store::StoreError) -> Self {
        Self::failed(with_causes(&error))
    }
}

/// An error and what it came from, in one line.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !line.ends_with(&said) {
            line = format!("{line}: {said}");
        }
        cause = error.source();
    }
    line
}
