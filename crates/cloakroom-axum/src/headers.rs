//! Headers: those the core reads, and those it has the response carry.

use cloakroom::{ResponseHeaders, request::Headers};
use http::{
    HeaderMap, HeaderValue,
    header::{CACHE_CONTROL, SET_COOKIE, VARY},
};

/// A request's header map, as the core reads it.
pub(crate) struct RequestHeaders<'a>(pub(crate) &'a HeaderMap);

impl Headers for RequestHeaders<'_> {
    fn all<'a>(&'a self, name: &'static str) -> impl Iterator<Item = &'a [u8]> {
        self.0.get_all(name).into_iter().map(HeaderValue::as_bytes)
    }
}

const PRIVATE: HeaderValue = HeaderValue::from_static(r#"private, no-cache="Set-Cookie""#);

/// Puts into a response what its session asks for.
///
/// 1. A response that depends on the session varies with the cookie, so that a cache does not show
///    one visitor's page to another (RFC 9111, 4.1).
/// 2. A response that sets the session cookie is for one visitor's eyes: shared caches must not
///    keep it, whatever the handler said of caching.
pub(crate) fn add(to: &mut HeaderMap, session: ResponseHeaders) {
    if session.vary && !varies_with_cookie(to) {
        to.append(VARY, HeaderValue::from_static("Cookie"));
    }
    if session.set_cookie.is_empty() {
        return;
    }
    keep_from_shared_caches(to);
    for line in session.set_cookie {
        match HeaderValue::try_from(line) {
            Ok(line) => _ = to.append(SET_COOKIE, line),
            // The core writes visible ASCII only.
            Err(error) => tracing::error!(%error, "a session cookie is not a header value"),
        }
    }
}

fn varies_with_cookie(headers: &HeaderMap) -> bool {
    let names = headers.get_all(VARY).into_iter().filter_map(|value| value.to_str().ok());
    names
        .flat_map(|value| value.split(','))
        .any(|name| name.trim() == "*" || name.trim().eq_ignore_ascii_case("cookie"))
}

/// Keeps the handler's own directives but for those that would let a shared cache keep the response.
fn keep_from_shared_caches(headers: &mut HeaderMap) {
    let said: Vec<String> = headers
        .get_all(CACHE_CONTROL)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .filter(|directive| {
            directive != "public" && directive != "private" && !directive.starts_with("s-maxage")
        })
        .collect();
    if said.is_empty() {
        headers.insert(CACHE_CONTROL, PRIVATE);
    } else if !said.iter().any(|directive| directive == "no-store") {
        let all = format!(r#"{}, private, no-cache="Set-Cookie""#, said.join(", "));
        headers.insert(CACHE_CONTROL, HeaderValue::try_from(all).unwrap_or(PRIVATE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache_control_of(said: Option<&'static str>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(said) = said {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(said));
        }
        add(&mut headers, ResponseHeaders { set_cookie: vec!["a=b".to_owned()], vary: true });
        headers[CACHE_CONTROL].to_str().unwrap().to_owned()
    }

    // Requirement 22.
    #[test]
    fn no_shared_cache_may_keep_a_session_cookie() {
        assert_eq!(cache_control_of(None), r#"private, no-cache="Set-Cookie""#);
        assert_eq!(cache_control_of(Some("no-store")), "no-store");
        let public = cache_control_of(Some("Public, max-age=60, s-maxage=600"));
        assert_eq!(public, r#"max-age=60, private, no-cache="Set-Cookie""#);
    }

    #[test]
    fn vary_names_the_cookie_once() {
        let mut headers = HeaderMap::new();
        headers.insert(VARY, HeaderValue::from_static("Accept, cookie"));
        add(&mut headers, ResponseHeaders { set_cookie: Vec::new(), vary: true });
        assert_eq!(headers.get_all(VARY).iter().count(), 1);
    }
}
