//! What is wrong with the settings.

use std::{fmt, path::Path};

/// Settings that cannot be used: where, which key, and what is accepted. One line, no secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingsError {
    place: String,
    problem: String,
}

impl SettingsError {
    pub(super) fn file(path: &Path, problem: impl fmt::Display) -> Self {
        Self { place: path.display().to_string(), problem: one_line(&problem) }
    }

    pub(super) fn variable(name: &str, problem: impl fmt::Display) -> Self {
        Self { place: name.to_owned(), problem: one_line(&problem) }
    }

    /// Settings that a driver of another crate refuses: name the key and what is accepted.
    pub fn settings(problem: impl fmt::Display) -> Self {
        Self { place: "session settings".to_owned(), problem: one_line(&problem) }
    }
}

/// Parsers draw pictures of the line; a log wants one line.
fn one_line(problem: &impl fmt::Display) -> String {
    problem.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.problem)
    }
}

/// The message, as a `main` that returns it prints it.
impl fmt::Debug for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for SettingsError {}
