//! Request headers, independent of the framework.

/// Reads the headers of a request or response. An adapter implements it for its framework's header map.
///
/// Callers give names in lower case, and implementations match them without regard to case.
pub trait Headers {
    /// Returns the values of all headers `name` as raw bytes, in their order in the request.
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]>;

    /// Returns the first value of the header `name`, if it is valid UTF-8.
    fn text<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next().and_then(|value| std::str::from_utf8(value).ok())
    }
}

/// The error of a header that a request may have once and has several times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeated;

/// Returns the value of a header that a request may have once.
pub(crate) fn once<'a>(
    headers: &'a (impl Headers + ?Sized),
    name: &'static str,
) -> Result<Option<&'a [u8]>, Repeated> {
    let mut values = headers.all(name);
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(Repeated),
    }
}

/// Reads headers from a list of pairs, for tests and for frameworks without a header map.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::adapter::Headers;
///
/// let headers = [("host", "example.org"), ("cookie", "a=1"), ("cookie", "b=2")];
/// assert_eq!(headers.all("cookie").count(), 2);
/// assert_eq!(headers.as_slice().text("host"), Some("example.org"));
/// ```
impl<N: AsRef<str>, V: AsRef<[u8]>> Headers for [(N, V)] {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        self.iter()
            .filter(move |(candidate, _)| candidate.as_ref().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_ref())
    }
}

/// Returns whether `name` can be the name of a header: a token (RFC 9110, 5.6.2) of at most 256
/// characters.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::adapter::is_header_name;
///
/// assert!(is_header_name("X-Background"));
/// assert!(!is_header_name("X Background") && !is_header_name(""));
/// ```
pub fn is_header_name(name: &str) -> bool {
    let special = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty()
        && name.len() <= 256
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || special(byte))
}
