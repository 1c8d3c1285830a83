//! Origins: scheme, host and port, compared as a whole (RFC 6454, 5).

use std::fmt;

use crate::http::site_scheme::SiteScheme;

/// An origin in normal form: in lower case and without a default port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    authority: String,
}

impl Origin {
    /// Parses `scheme://host[:port]`, as browsers send it. Returns `None` for other text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let default_port = match scheme.as_str() {
            "https" => ":443",
            "http" => ":80",
            _ => return None,
        };
        let visible = |byte: u8| byte.is_ascii_graphic() && !b"/?#\\@*,;\"'<>".contains(&byte);
        if authority.is_empty() || !authority.bytes().all(visible) {
            return None;
        }
        let authority = authority.strip_suffix(default_port).unwrap_or(authority);
        Some(Self { authority: authority.to_ascii_lowercase(), scheme })
    }

    /// Returns the origin of a URL.
    pub(super) fn of_url(url: &str) -> Option<Self> {
        let start = url.find("://")? + "://".len();
        let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |length| start + length);
        Self::parse(&url[..end])
    }

    /// Returns whether this is the origin of the site `host`.
    pub(super) fn is_site(&self, host: &str, transport: SiteScheme) -> bool {
        let scheme_fits = transport == SiteScheme::Any || self.scheme == "https";
        let site = Self::parse(&format!("{}://{host}", self.scheme));
        scheme_fits && site.is_some_and(|site| site == *self)
    }
}

/// The error of [`CsrfPolicy::trust_origin`](crate::csrf::CsrfPolicy::trust_origin) for text that is
/// not an origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError {
    pub(super) given: String,
}

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not an origin: accepted are http or https, a host and optionally a port, such as \
             `https://admin.example.org`, without path, user or wildcard",
            self.given
        )
    }
}

impl std::error::Error for OriginError {}
