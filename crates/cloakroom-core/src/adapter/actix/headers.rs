//! Header maps of actix-web as the core reads and writes them.

use std::borrow::Cow;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::{
    http::{headers::Headers, response_headers::HeadersMut},
    observe,
};

impl Headers for HeaderMap {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.get_all(name).map(HeaderValue::as_bytes)
    }
}

impl HeadersMut for HeaderMap {
    fn append(&mut self, name: &'static str, value: Cow<'static, str>) {
        if let Some(value) = checked(value) {
            self.append(HeaderName::from_static(name), value);
        }
    }

    fn replace(&mut self, name: &'static str, value: Cow<'static, str>) {
        if let Some(value) = checked(value) {
            self.insert(HeaderName::from_static(name), value);
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
