//! Header maps, as the core reads and writes them.

use std::borrow::Cow;

use cloakroom::{request::Headers, visit::HeadersMut};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// A request's header map.
pub(crate) struct RequestHeaders<'a>(pub(crate) &'a HeaderMap);

/// A response's header map.
pub(crate) struct ResponseHeaderMap<'a>(pub(crate) &'a mut HeaderMap);

fn all<'a>(map: &'a HeaderMap, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
    map.get_all(header_name(name)).into_iter().map(HeaderValue::as_bytes)
}

/// Those that every request asks for are known without parsing.
fn header_name(name: &'static str) -> HeaderName {
    match name {
        "accept" => header::ACCEPT,
        "content-type" => header::CONTENT_TYPE,
        "cookie" => header::COOKIE,
        "vary" => header::VARY,
        _ => HeaderName::from_static(name),
    }
}

impl Headers for RequestHeaders<'_> {
    fn all<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        all(self.0, name)
    }
}

impl Headers for ResponseHeaderMap<'_> {
    fn all<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        all(self.0, name)
    }
}

impl HeadersMut for ResponseHeaderMap<'_> {
    fn append(&mut self, name: &'static str, value: Cow<'static, str>) {
        if let Some(value) = valid(value) {
            self.0.append(header_name(name), value);
        }
    }

    fn replace(&mut self, name: &'static str, value: Cow<'static, str>) {
        if let Some(value) = valid(value) {
            self.0.insert(header_name(name), value);
        }
    }
}

fn valid(value: Cow<'static, str>) -> Option<HeaderValue> {
    let value = match value {
        Cow::Borrowed(text) => return Some(HeaderValue::from_static(text)),
        Cow::Owned(text) => HeaderValue::try_from(text),
    };
    // The core writes visible ASCII only.
    value
        .inspect_err(|error| tracing::error!(%error, "what the session says is not a header value"))
        .ok()
}
