//! The purpose of a request, by its headers.

use super::headers::Headers;

/// The purpose of a request (Fetch Metadata, W3C), which decides about its flash, whether it counts as a
/// use, and whether its cookie is exposed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchMetadata {
    /// The response is a page: a top-level navigation, or a client without Fetch Metadata.
    pub(crate) navigation: bool,
    /// The response may never be shown: a prefetch, or a `HEAD`.
    pub(crate) speculative: bool,
    /// The cookie is not `Secure`, and the connection leaves this machine.
    pub(crate) exposed: bool,
    pub(crate) initiator: Initiator,
}

/// Who has sent a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Initiator {
    Visitor,
    /// A script that polls. The visitor may be away.
    Script,
}

impl FetchMetadata {
    /// For a request without flash, whose headers need not be read.
    pub(crate) const IRRELEVANT: Self = Self {
        navigation: false,
        speculative: false,
        exposed: false,
        initiator: Initiator::Visitor,
    };

    pub(crate) fn of(method: Method, headers: &(impl Headers + ?Sized)) -> Self {
        let navigation = headers.text("sec-fetch-mode").is_none_or(|mode| mode == "navigate");
        let prefetch = headers.text("sec-purpose").is_some_and(|why| why.contains("prefetch"));
        let speculative = prefetch || method == Method::Head;
        Self { navigation, speculative, ..Self::IRRELEVANT }
    }

    pub(crate) fn with_exposure(self, exposed: bool) -> Self {
        Self { exposed, ..self }
    }

    pub(crate) fn with_initiator(self, initiator: Initiator) -> Self {
        Self { initiator, ..self }
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
