//! The purpose of a request, by its headers.

use super::headers::Headers;

/// The purpose of a request (Fetch Metadata, W3C), which decides about its flash, and whether its cookie
/// is exposed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchMetadata {
    /// The response is a page: a top-level navigation, or a client without Fetch Metadata.
    pub(crate) navigation: bool,
    /// The response may never be shown: a prefetch, or a `HEAD`.
    pub(crate) speculative: bool,
    /// The cookie is not `Secure`, and the connection leaves this machine.
    pub(crate) exposed: bool,
}

impl FetchMetadata {
    /// For a request without flash, whose headers need not be read.
    pub(crate) const IRRELEVANT: Self =
        Self { navigation: false, speculative: false, exposed: false };

    pub(crate) fn of(method: Method, headers: &(impl Headers + ?Sized)) -> Self {
        let navigation = headers.text("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
        let prefetch = headers.text("sec-purpose").is_some_and(|why| why.contains("prefetch"));
        Self { navigation, speculative: prefetch || method == Method::Head, exposed: false }
    }

    pub(crate) fn with_exposure(self, exposed: bool) -> Self {
        Self { exposed, ..self }
    }
}

/// A request's method, by what sessions distinguish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    Head,
    Other,
}

impl Method {
    pub(crate) fn of(method: &str) -> Self {
        if method == "HEAD" { Self::Head } else { Self::Other }
    }
}
