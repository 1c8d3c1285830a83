//! The content type of a body.

use std::borrow::Cow;

use crate::http::headers::Headers;

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
        // Parameters can have any bytes, so the whole value need not be text.
        let media_type = self.0.split(|byte| *byte == b';').next().unwrap_or_default();
        match media_type.trim_ascii().to_ascii_lowercase().as_slice() {
            b"application/x-www-form-urlencoded" => Some(Accepted::Urlencoded),
            #[cfg(feature = "forms")]
            b"multipart/form-data" => Some(Accepted::Multipart),
            b"application/json" => Some(Accepted::Json),
            _ => None,
        }
    }

    /// Returns the value, with replacement characters for bytes that are not UTF-8.
    pub(super) fn text(self) -> Cow<'h, str> {
        String::from_utf8_lossy(self.0)
    }
}
