//! Origins: scheme, host and port, compared as a whole (RFC 6454, 5).

use std::{fmt, net::Ipv6Addr, str::FromStr};

/// The origin of a page: `http` or `https`, a host, and a port unless it is the scheme's default.
///
/// Two origins are equal if scheme, host and port are equal. Hosts are compared in lower case, and
/// `https://example.org:443` is `https://example.org`.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::Origin;
///
/// let origin: Origin = "https://Admin.example.org:443".parse()?;
/// assert_eq!(origin.to_string(), "https://admin.example.org");
/// assert!("admin.example.org".parse::<Origin>().is_err(), "the scheme counts");
/// # Ok::<(), cloakroom::OriginError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: Scheme,
    /// In lower case. IPv6 addresses are in their shortest form.
    host: String,
    /// `None` for the default port of the scheme.
    port: Option<u16>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        [Self::Http, Self::Https].into_iter().find(|known| known.name().eq_ignore_ascii_case(text))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Origin {
    /// Parses `scheme://host[:port]`, as browsers send it. Returns `None` for other text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        Self::of_authority(Scheme::parse(scheme)?, authority)
    }

    /// Splits an absolute URL into its origin and the rest, which begins with the path.
    pub(crate) fn split(url: &str) -> Option<(Self, &str)> {
        let start = url.find("://")? + "://".len();
        let end = url[start..].find(['/', '?', '#', '\\']).map_or(url.len(), |end| start + end);
        let (origin, rest) = url.split_at(end);
        Some((Self::parse(origin)?, rest))
    }

    fn of_authority(scheme: Scheme, authority: &str) -> Option<Self> {
        let (host, port) = split_port(authority)?;
        let port = match port {
            Some(digits) => Some(parse_port(digits)?).filter(|port| *port != scheme.default_port()),
            None => None,
        };
        Some(Self { scheme, host: parse_host(host)?, port })
    }

    /// Returns whether the request's host, the value of `Host` or `:authority`, has this origin if it is
    /// reached by the same scheme.
    pub(crate) fn is_of_host(&self, host: &str) -> bool {
        Self::of_authority(self.scheme, host).is_some_and(|site| site == *self)
    }

    /// Returns whether `other` has the same host and port, where default ports are equal.
    pub(crate) fn has_host_of(&self, other: &Self) -> bool {
        self.host == other.host && self.port == other.port
    }

    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Scheme::Https
    }
}

/// Splits `host[:port]`. The host of an IPv6 address keeps its brackets.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    let name_end = if authority.starts_with('[') { authority.find(']')? + 1 } else { 0 };
    match authority[name_end..].find(':') {
        Some(colon) => {
            let (host, port) = authority.split_at(name_end + colon);
            Some((host, port.strip_prefix(':')))
        }
        None => Some((authority, None)),
    }
}

/// Parses a port as browsers write it: digits without a zero before them.
fn parse_port(digits: &str) -> Option<u16> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    digits.parse().ok().filter(|_| plain)
}

/// Parses the name or the address of a host. Names in other alphabets are written as browsers send them
/// (`xn--…`).
fn parse_host(host: &str) -> Option<String> {
    if let Some(address) = host.strip_prefix('[') {
        let address: Ipv6Addr = address.strip_suffix(']')?.parse().ok()?;
        return Some(format!("[{address}]"));
    }
    let is_part_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_name = !host.is_empty() && host.bytes().all(is_part_of_name);
    is_name.then(|| host.to_ascii_lowercase())
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        Self::parse(text).ok_or_else(|| OriginError { given: text.to_owned() })
    }
}

/// Writes the origin as browsers send it.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.name(), self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// The error of parsing an [`Origin`] from text that is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError {
    given: String,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Origin {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn origins_are_equal_if_scheme_host_and_port_are() {
        for (one, other, are_equal) in [
            ("https://example.org", "https://example.org", true),
            ("https://example.org", "HTTPS://EXAMPLE.ORG:443", true),
            ("http://example.org:80", "http://example.org", true),
            ("https://example.org:8443", "https://example.org:8443", true),
            ("https://[2001:db8::1]:443", "https://[2001:DB8:0::1]", true),
            ("https://example.org", "http://example.org", false),
            ("https://example.org:80", "https://example.org", false),
            ("http://example.org:443", "https://example.org", false),
            ("https://example.org", "https://example.org.", false),
            ("https://example.org", "https://www.example.org", false),
            ("https://example.org", "https://example.org.evil.example", false),
            ("https://[2001:db8::1]", "https://[2001:db8::2]", false),
        ] {
            assert_eq!(parse(one) == parse(other), are_equal, "{one} {other}");
        }
    }

    #[test]
    fn a_host_header_names_an_origin_by_host_and_port() {
        for (origin, host, is_same) in [
            ("https://example.org", "example.org", true),
            ("https://example.org", "EXAMPLE.org:443", true),
            ("http://localhost:3333", "localhost:3333", true),
            ("https://[::1]:8443", "[::1]:8443", true),
            ("https://example.org", "example.org:80", false),
            ("http://localhost:3333", "localhost", false),
            ("https://example.org", "example.org@evil.example", false),
            ("https://example.org", "", false),
        ] {
            assert_eq!(parse(origin).is_of_host(host), is_same, "{origin} {host}");
        }
    }

    #[test]
    fn an_origin_is_written_as_browsers_send_it() {
        for (text, written) in [
            ("https://example.org:443", "https://example.org"),
            ("HTTP://Localhost:3333", "http://localhost:3333"),
            ("https://[2001:db8:0:0::1]:8443", "https://[2001:db8::1]:8443"),
            ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(parse(text).to_string(), written);
        }
    }

    #[test]
    fn a_url_is_split_behind_its_origin() {
        for (url, expected) in [
            ("https://example.org/form?a#b", Some(("https://example.org", "/form?a#b"))),
            ("https://example.org", Some(("https://example.org", ""))),
            ("https://example.org?a", Some(("https://example.org", "?a"))),
            (
                "https://example.org\\@evil.example/",
                Some(("https://example.org", "\\@evil.example/")),
            ),
            ("https://evil.example@example.org/", None),
            ("https:/example.org", None),
            ("/form?to=https://example.org/", None),
            ("javascript://example.org/", None),
        ] {
            let split = Origin::split(url).map(|(origin, rest)| (origin.to_string(), rest));
            let split = split.as_ref().map(|(origin, rest)| (origin.as_str(), *rest));
            assert_eq!(split, expected, "{url}");
        }
    }
}
