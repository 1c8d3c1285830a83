//! A request while its handler runs.

use cloakroom_core::adapter::{RequestContext, RequestLine};
use http::{Method, uri::PathAndQuery};

/// A request while its handler runs: its context, and its name in log lines.
#[derive(Debug)]
pub(crate) struct HandledRequest {
    pub(crate) context: RequestContext,
    method: Method,
    /// Shares the server's buffer. `None` for a `CONNECT`.
    target: Option<PathAndQuery>,
}

impl HandledRequest {
    pub(crate) fn new(
        context: RequestContext,
        method: Method,
        target: Option<PathAndQuery>,
    ) -> Self {
        Self { context, method, target }
    }

    /// Returns the request as log lines name it.
    pub(crate) fn line(&self) -> RequestLine<'_> {
        let target = self.target.as_ref().map_or("", PathAndQuery::as_str);
        RequestLine::new(self.method.as_str(), target)
    }
}
