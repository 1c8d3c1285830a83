//! The content type of a body.

use std::borrow::Cow;

use crate::http::headers::{Headers, once};

/// The value of a `Content-Type` header. Extractors and CSRF layers read the header here alone, so that
/// none takes a body for a form that the other does not.
#[derive(Clone, Copy)]
pub(crate) struct ContentType<'h>(&'h [u8]);

/// The content types that are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepted {
    Urlencoded,
    #[cfg(feature = "forms")]
    Multipart,
    Json,
}

impl<'h> ContentType<'h> {
    /// Returns the content type of a body with these headers.
    pub(crate) fn of(headers: &'h (impl Headers + ?Sized)) -> Self {
        Self(headers.all("content-type").next().unwrap_or_default())
    }

    /// Returns whether the body is a form.
    pub(crate) fn is_form(self) -> bool {
        self.accepted().is_some()
    }

    pub(super) fn accepted(self) -> Option<Accepted> {
        match self.media_type().as_slice() {
            b"application/x-www-form-urlencoded" => Some(Accepted::Urlencoded),
            #[cfg(feature = "forms")]
            b"multipart/form-data" => Some(Accepted::Multipart),
            b"application/json" => Some(Accepted::Json),
            _ => None,
        }
    }

    /// Returns whether an HTML form of any site can send a body with these headers. Browsers send all other
    /// content types from a page of another origin only with the permission of CORS (Fetch standard,
    /// CORS-safelisted request-header).
    ///
    /// Returns `true` for a missing content type, and for one that is repeated or malformed, because
    /// browsers and servers could read it in different ways.
    pub(crate) fn can_come_from_a_form(headers: &(impl Headers + ?Sized)) -> bool {
        let Ok(Some(value)) = once(headers, "content-type") else { return true };
        let media_type = ContentType(value).media_type();
        !is_media_type(&media_type)
            || matches!(
                media_type.as_slice(),
                b"application/x-www-form-urlencoded" | b"multipart/form-data" | b"text/plain"
            )
    }

    /// Returns the media type without its parameters, in lower case.
    fn media_type(self) -> Vec<u8> {
        // Parameters can have any bytes, so the whole value need not be text.
        let media_type = self.0.split(|byte| *byte == b';').next().unwrap_or_default();
        media_type.trim_ascii().to_ascii_lowercase()
    }

    /// Returns the value, with replacement characters for bytes that are not UTF-8.
    pub(super) fn text(self) -> Cow<'h, str> {
        String::from_utf8_lossy(self.0)
    }
}

/// Returns whether `text` is two tokens around a slash (RFC 9110, 8.3.1).
fn is_media_type(text: &[u8]) -> bool {
    let in_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let is_token = |part: &[u8]| !part.is_empty() && part.iter().all(in_token);
    let slash = text.iter().position(|byte| *byte == b'/');
    slash.is_some_and(|slash| is_token(&text[..slash]) && is_token(&text[slash + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_type_that_no_form_can_send_is_well_formed_and_another_one() {
        let rows: [(&[&[u8]], bool); 26] = [
            (&[], true),
            (&[b""], true),
            (&[b"application/x-www-form-urlencoded"], true),
            (&[b"multipart/form-data; boundary=x"], true),
            (&[b"text/plain"], true),
            (&[b" Text/Plain ; charset=utf-8"], true),
            (&[b"text/plain;application/json"], true),
            (&[b"TEXT/plain; x=\"application/json\""], true),
            (&[b"application/json, text/plain"], true),
            (&[b"application/json", b"application/json"], true),
            (&[b"application/json", b"text/plain"], true),
            (&[b"json"], true),
            (&[b"application/"], true),
            (&[b"/json"], true),
            (&[b"application/json/x"], true),
            (&[b"application/js\xf6n"], true),
            (&[b"application/json x"], true),
            (&[b"application /json"], true),
            (&[b"*/*,text/plain"], true),
            (&[b"application/json"], false),
            (&[b"Application/JSON; charset=utf-8"], false),
            (&[b"application/json;x=\xf6"], false),
            (&[b"application/vnd.api+json"], false),
            (&[b"application/cbor"], false),
            (&[b"text/plain2"], false),
            (&[b"application/octet-stream"], false),
        ];
        for (values, expected) in rows {
            let headers: Vec<_> = values.iter().map(|value| ("content-type", *value)).collect();
            let found = ContentType::can_come_from_a_form(headers.as_slice());
            assert_eq!(found, expected, "{}", String::from_utf8_lossy(&values.join(&b'|')));
        }
    }
}
