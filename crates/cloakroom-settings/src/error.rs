//! The error of wrong settings.

use std::fmt;

/// The place of settings that have no file and no variable.
pub(super) const SETTINGS: &str = "session settings";

/// Settings that cannot be used. The message says in one line where they were set, which one is wrong
/// and what is accepted. It never contains a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingsError {
    place: String,
    problem: String,
}

impl SettingsError {
    /// Makes an error about something at `place`: a file, a file and its line, or `environment`.
    pub(super) fn at(place: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self { place: place.to_string(), problem: one_line(&problem) }
    }

    /// Makes an error about settings that a driver refuses. `problem` names the key and says what is
    /// accepted.
    pub fn settings(problem: impl fmt::Display) -> Self {
        Self::at(SETTINGS, problem)
    }
}

/// Puts a message on one line, because parsers draw pictures of the line and a log wants one line.
fn one_line(problem: &impl fmt::Display) -> String {
    problem.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// Shows the message, because a `main` that returns this error prints its `Debug` form.
impl fmt::Debug for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SettingsError {}
