//! Responses of the library, independent of the framework.

use std::borrow::Cow;

use crate::error::FormReply;

/// A response of the library. An adapter converts it into a response of its framework.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "the client gets this response"]
#[non_exhaustive]
pub struct ResponseParts {
    /// The status code.
    pub status: u16,
    /// The `Location` of a redirect: visible ASCII.
    pub location: Option<String>,
    /// The `Vary` header.
    pub vary: Option<&'static str>,
    /// The `WWW-Authenticate` header.
    pub challenge: Option<String>,
    /// Other headers, by lower-case name.
    pub headers: Vec<(&'static str, Cow<'static, str>)>,
    /// The `Content-Type` and the body. `None` is an empty body.
    pub content: Option<(&'static str, String)>,
}

impl ResponseParts {
    /// Makes a redirect to a path of this site.
    pub(super) fn see_other(location: Option<String>) -> Self {
        Self { status: 303, location, ..Self::default() }
    }

    /// Makes the reply to an invalid form.
    pub(super) fn of_form(status: u16, reply: &FormReply) -> Self {
        let (location, content) = match reply {
            FormReply::SeeOther(path) => (Some(path.clone()), None),
            FormReply::Json(body) => (None, Some(("application/json", body.clone()))),
        };
        Self { status, location, content, ..Self::default() }
    }
}
