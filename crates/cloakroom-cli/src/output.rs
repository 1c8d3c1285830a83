//! Output for people and programs. Results go to standard output, everything else to standard error.
//! A terminal gets colors unless `NO_COLOR` is set.

use std::{
    fmt::Display,
    io::{ErrorKind, Write},
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
        if self.json {
            self.record(&json!({ "error": failure.to_string() }));
        }
        eprintln!("{BAD}error:{BAD:#} {failure}");
    }
}

/// Prints a result. Ends the process: with success if the reader has closed the pipe (`| head`), and as
/// a failure if the result cannot be written for another reason.
pub(crate) fn print(text: &str) {
    let mut out = anstream::stdout();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => (),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => {
            eprintln!("{BAD}error:{BAD:#} could not write to standard output: {error}");
            std::process::exit(1);
        }
    }
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
