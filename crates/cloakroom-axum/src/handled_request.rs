//! A request while its handler runs.

use cloakroom_core::adapter::{RequestContext, RequestLine};
use http::{Method, Request, uri::PathAndQuery};

/// A request while its handler runs: its context, and its name in log lines.
#[derive(Debug)]
pub(crate) struct HandledRequest {
    pub(crate) context: RequestContext,
    method: Method,
    /// Shares the server's buffer. `None` for a `CONNECT`.
    target: Option<PathAndQuery>,
}

impl HandledRequest {
    pub(crate) fn new<B>(context: RequestContext, request: &Request<B>) -> Self {
        let target = request.uri().path_and_query().cloned();
        Self { context, method: request.method().clone(), target }
    }

    /// Returns the request as log lines name it.
    pub(crate) fn line(&self) -> RequestLine<'_> {
        let target = self.target.as_ref().map_or("", PathAndQuery::as_str);
        RequestLine::new(self.method.as_str(), target)
    }
}
