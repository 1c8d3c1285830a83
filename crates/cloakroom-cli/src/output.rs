//! What people and programs read. Results go to standard output, everything else to standard error;
//! colors go where a terminal is and `NO_COLOR` is not.

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
pub(crate) const DOUBTFUL: Style = AnsiColor::Yellow.on_default();
pub(crate) const BAD: Style = AnsiColor::Red.on_default().bold();
const QUIET: Style = Style::new().dimmed();

/// Where results go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// The result: a line of JSON for programs, `text` for people.
    pub(crate) fn result(self, value: &impl Serialize, text: impl Display) {
        if self.json {
            self.record(value);
        } else {
            print(&format!("{text}\n"));
        }
    }

    /// One of many results, for programs alone.
    pub(crate) fn record(self, value: &impl Serialize) {
        if self.json {
            print(&format!("{}\n", json!(value)));
        }
    }

    /// A line for people alone.
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

/// Prints a result. Who reads may have had enough of it (`| head`), which is fine; that it cannot be
/// written for another reason is not.
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

/// A warning, which does not stop the command.
pub(crate) fn warning(text: impl Display) {
    eprintln!("{DOUBTFUL}warning:{DOUBTFUL:#} {text}");
}

/// A remark that is no result.
pub(crate) fn remark(text: impl Display) {
    eprintln!("{QUIET}{text}{QUIET:#}");
}

/// `text` in a style.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
