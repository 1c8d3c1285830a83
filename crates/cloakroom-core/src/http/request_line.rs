//! The request as log lines name it.

use std::fmt;

/// Names a request in log lines: its method, and the path that it asks for.
///
/// # Security
/// The query is left out, because it may hold secrets.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::adapter::RequestLine;
///
/// let request = RequestLine::new("POST", "/orders?token=secret");
/// assert_eq!(request.to_string(), "POST /orders");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLine<'a> {
    method: &'a str,
    path: &'a str,
}

impl<'a> RequestLine<'a> {
    /// Makes the line of a request. `target` is its path, with or without a query.
    pub fn new(method: &'a str, target: &'a str) -> Self {
        let path = target.split(['?', '#']).next().unwrap_or_default();
        Self { method, path }
    }

    pub(crate) fn method(self) -> &'a str {
        self.method
    }

    pub(crate) fn path(self) -> &'a str {
        self.path
    }
}

impl fmt::Display for RequestLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, self.path)
    }
}
