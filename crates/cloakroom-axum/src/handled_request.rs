//! A request while its handler runs.

use cloakroom_core::adapter::{RequestContext, RequestLine};
use http::{HeaderMap, Method, header::CONTENT_TYPE, uri::PathAndQuery};

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

    /// Notes for the context whether the response is a page.
    pub(crate) fn note_response(&self, headers: &HeaderMap) {
        let content_type = headers.get(CONTENT_TYPE).and_then(|text| text.to_str().ok());
        self.context.note_page(self.method.as_str(), self.target(), content_type);
    }

    /// Returns the request as log lines name it.
    pub(crate) fn line(&self) -> RequestLine<'_> {
        RequestLine::new(self.method.as_str(), self.target())
    }

    fn target(&self) -> &str {
        self.target.as_ref().map_or("", PathAndQuery::as_str)
    }
}
