//! Output for people and programs. Results go to standard output, everything else to standard error.
//! A terminal gets colors unless `NO_COLOR` is set.

use std::{
    fmt::Display,
    io::{ErrorKind, Write},
    sync::OnceLock,
};

use anstream::eprintln;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;

pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = Style::new().dimmed();

/// The form in which results are printed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints a result: a line of JSON for programs, `text` for people.
    pub(crate) fn result(self, value: &impl Serialize, text: impl Display) {
        if self.json {
            self.record(value);
        } else {
            print(&format!("{text}\n"));
        }
    }

    /// Prints a line of JSON, for programs only.
    pub(crate) fn record(self, value: &impl Serialize) {
        if self.json {
            print(&format!("{}\n", json!(value)));
        }
    }

    /// Prints a line, for people only.
    pub(crate) fn line(self, text: impl Display) {
        if !self.json {
            print(&format!("{text}\n"));
        }
    }

    pub(crate) fn failure(self, failure: &Failure) {
        eprintln!("{BAD}error:{BAD:#} {failure}");
        self.record(&json!({ "error": failure.to_string() }));
    }
}

/// The first error of standard output.
static BROKEN: OnceLock<ErrorKind> = OnceLock::new();

/// Prints a result. After an error, the command does its work to the end and prints nothing more.
pub(crate) fn print(text: &str) {
    if BROKEN.get().is_some() {
        return;
    }
    let mut out = anstream::stdout();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        BROKEN.get_or_init(|| error.kind());
        if !is_complete() {
            eprintln!("{BAD}error:{BAD:#} could not write to standard output: {error}");
        }
    }
}

/// Returns `true` if the reader has everything that it wanted: all results, or those until it closed the
/// pipe (`| head`).
pub(crate) fn is_complete() -> bool {
    BROKEN.get().is_none_or(|error| *error == ErrorKind::BrokenPipe)
}

/// Prints a warning. The command continues.
pub(crate) fn warning(text: impl Display) {
    eprintln!("{WARNING}warning:{WARNING:#} {text}");
}

/// Prints a remark, which is not part of the result.
pub(crate) fn remark(text: impl Display) {
    eprintln!("{QUIET}{text}{QUIET:#}");
}

/// Returns the text in a style.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
