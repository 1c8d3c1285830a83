//! Header maps of the crate `http` as the core reads and writes them.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    http::{headers::Headers, response_headers::HeadersMut},
    observe,
};

/// Returns the name without parsing, if every request asks for it.
fn frequent_name(name: &str) -> Option<HeaderName> {
    match name {
        "accept" => Some(header::ACCEPT),
        "content-type" => Some(header::CONTENT_TYPE),
        "cookie" => Some(header::COOKIE),
        "vary" => Some(header::VARY),
        _ => None,
    }
}

fn header_name(name: &'static str) -> HeaderName {
    frequent_name(name).unwrap_or_else(|| HeaderName::from_static(name))
}

impl Headers for HeaderMap {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let values = match frequent_name(name) {
            Some(name) => self.get_all(name),
            None => self.get_all(name),
        };
        values.into_iter().map(HeaderValue::as_bytes)
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
