//! What a request says about why it was sent.

use super::headers::Headers;

/// How a request came, as far as it matters to flash (Fetch Metadata, W3C) and to the cookie.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchMetadata {
    /// Somebody looks at the response: a top-level navigation, or a client that does not say.
    pub(crate) navigation: bool,
    /// Perhaps nobody does: the browser fetches ahead, or asks for the head alone.
    pub(crate) speculative: bool,
    /// The cookie is not `Secure`, and yet leaves this machine.
    pub(crate) exposed: bool,
}

impl FetchMetadata {
    /// Of a request that came without flash, of which nothing more has to be known.
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

/// A request's method, as far as it matters to sessions.
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
