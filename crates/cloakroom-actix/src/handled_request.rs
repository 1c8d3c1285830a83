//! A request while its handler runs.

use actix_web::{
    dev::ServiceRequest,
    http::{
        Method,
        header::{CONTENT_TYPE, HeaderMap},
        uri::PathAndQuery,
    },
};
use cloakroom_core::adapter::{RequestContext, RequestLine};

/// A request while its handler runs: its context, and its name in log lines.
#[derive(Debug)]
pub(crate) struct HandledRequest {
    pub(crate) context: RequestContext,
    method: Method,
    /// Shares the server's buffer. `None` for a `CONNECT`.
    target: Option<PathAndQuery>,
}

impl HandledRequest {
    pub(crate) fn new(context: RequestContext, request: &ServiceRequest) -> Self {
        let target = request.uri().path_and_query().cloned();
        Self { context, method: request.method().clone(), target }
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
