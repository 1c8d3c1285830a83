//! What people and programs read. Results go to standard output, everything else to standard error;
//! colors go where a terminal is and `NO_COLOR` is not.

use std::fmt::Display;

use anstream::{eprintln, println};
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
            println!("{text}");
        }
    }

    /// One of many results, for programs alone.
    pub(crate) fn record(self, value: &impl Serialize) {
        if self.json {
            println!("{}", json!(value));
        }
    }

    /// A line for people alone.
    pub(crate) fn line(self, text: impl Display) {
        if !self.json {
            println!("{text}");
        }
    }

    pub(crate) fn failure(self, failure: &Failure) {
        if self.json {
            println!("{}", json!({ "error": failure.to_string() }));
        }
        eprintln!("{BAD}error:{BAD:#} {failure}");
    }
}

/// A remark that is no result.
pub(crate) fn remark(text: impl Display) {
    eprintln!("{QUIET}{text}{QUIET:#}");
}

/// `text` in a style.
pub(crate) fn styled(style: Style, text: impl Display) -> String {
    format!("{style}{text}{style:#}")
}
