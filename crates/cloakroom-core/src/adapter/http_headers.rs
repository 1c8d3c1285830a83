//! Header maps of the crate `http` as the core reads and writes them.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    http::{headers::Headers, response_headers::HeadersMut},
    observe,
};

/// Returns the name without parsing, if every request asks for it.
fn header_name(name: &'static str) -> HeaderName {
    match name {
        "accept" => header::ACCEPT,
        "content-type" => header::CONTENT_TYPE,
        "cookie" => header::COOKIE,
        "vary" => header::VARY,
        _ => HeaderName::from_static(name),
    }
}

impl Headers for HeaderMap {
    fn all<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(header_name(name)).into_iter().map(HeaderValue::as_bytes)
    }
}

impl HeadersMut for HeaderMap {
    fn append(&mut self, name: &'static str, value: Cow<'static, str>) {
        if let Some(value) = checked(value) {
            self.append(header_name(name), value);
        }
    }

    fn replace(&mut self, name: &'static str, value: Cow<'static, str>) {
        if let Some(value) = checked(value) {
            self.insert(header_name(name), value);
        }
    }
}

/// Returns the header value. The core writes visible ASCII only.
fn checked(value: Cow<'static, str>) -> Option<HeaderValue> {
    let value = match value {
        Cow::Borrowed(text) => return Some(HeaderValue::from_static(text)),
        Cow::Owned(text) => HeaderValue::try_from(text),
    };
    value.inspect_err(|error| observe::bad_header(error)).ok()
}
