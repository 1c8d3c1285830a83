//! Redirects that stay within this site, whatever a visitor or another site sends.

use crate::http::headers::Headers;

/// Extracts the page that a visitor came from, if it is on this site.
///
/// # Security
/// The client chooses the `Referer`. Only its path and query are used, and only if its host is the
/// request's, so the redirect never leaves the site.
#[derive(Clone, Debug)]
pub struct Back {
    referer: Option<String>,
    host: Option<String>,
}

impl Back {
    /// Reads the `Referer` and the `Host` of a request. `authority` is that of the request's URI, which
    /// takes the place of `Host` in HTTP/2.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::redirect::Back;
    ///
    /// let headers = [("host", "example.org"), ("referer", "https://example.org/form")];
    /// assert_eq!(Back::of(headers.as_slice(), None).target("/"), "/form");
    /// ```
    pub fn of(headers: &(impl Headers + ?Sized), authority: Option<&str>) -> Self {
        let owned = |text: &str| text.to_owned();
        let host = headers.text("host").or(authority);
        Self { referer: headers.text("referer").map(owned), host: host.map(owned) }
    }

    /// Returns a redirect to the page that the visitor came from, or to `fallback`, a path of this site.
    /// Any other fallback leads to `/`, with a warning in the log.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::redirect::{Back, SeeOther};
    ///
    /// async fn save(back: Back) -> SeeOther {
    ///     back.or("/")
    /// }
    /// ```
    pub fn or(&self, fallback: &str) -> SeeOther {
        SeeOther(self.target(fallback))
    }

    /// Returns path and query of the page that the visitor came from, or `fallback` as [`or`](Self::or)
    /// does.
    pub fn target(&self, fallback: &str) -> String {
        back(self.referer.as_deref(), self.host.as_deref(), fallback)
    }
}

/// Redirects with status 303, which a browser follows with a `GET` whatever the method was. It is a
/// response on axum and actix-web.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeeOther(String);

impl SeeOther {
    /// Redirects to a path of this site. Anything else leads to `/`, with a warning in the log.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::redirect::SeeOther;
    ///
    /// assert_eq!(SeeOther::to("/account").location(), "/account");
    /// assert_eq!(SeeOther::to("https://evil.example/").location(), "/");
    /// ```
    pub fn to(path: &str) -> Self {
        Self(local_path(path).unwrap_or_else(|| refused()).to_owned())
    }

    /// Returns the `Location` header's value.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::redirect::Back;
    ///
    /// let no_headers: &[(&str, &str)] = &[];
    /// assert_eq!(Back::of(no_headers, None).or("/start").location(), "/start");
    /// ```
    pub fn location(&self) -> &str {
        &self.0
    }
}

/// Returns path and query of the page that the `Referer` names if it is on this host, otherwise
/// `fallback`. A fallback that is not a [path of this site](local_target) is replaced by `/`, with a
/// warning in the log, because it may come from the request.
///
/// The target never leaves the site, because the origin of the `Referer` is dropped. `host` is the
/// request's `Host`, or `:authority` in HTTP/2.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::redirect::back;
///
/// let host = Some("example.org");
/// assert_eq!(back(Some("https://example.org/form?step=2"), host, "/"), "/form?step=2");
/// assert_eq!(back(Some("https://evil.example/form"), host, "/"), "/");
/// assert_eq!(back(None, host, "/start"), "/start");
/// assert_eq!(back(None, host, "//evil.example"), "/");
/// ```
#[must_use]
pub fn back(referer: Option<&str>, host: Option<&str>, fallback: &str) -> String {
    let local = referer.and_then(|referer| path_on(referer, host?)).map(without_fragment);
    local.or_else(|| local_path(fallback)).unwrap_or_else(|| refused()).to_owned()
}

/// Warns that a target is not a path of this site.
fn refused() -> &'static str {
    tracing::warn!(
        target: "cloakroom",
        "redirecting to `/`: the target of a redirect is not a path of this site, which begins with one \
         slash and has visible ASCII characters alone"
    );
    "/"
}

/// Returns `url` as a path on this site: a local path as it is, and an absolute URL of `host` without its
/// origin. Returns `None` for anything else.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::redirect::local_target;
///
/// assert_eq!(local_target("/account?tab=2", None).as_deref(), Some("/account?tab=2"));
/// assert_eq!(local_target("https://example.org/a", Some("example.org")).as_deref(), Some("/a"));
/// assert_eq!(local_target("//evil.example/", None), None);
/// ```
#[must_use]
pub fn local_target(url: &str, host: Option<&str>) -> Option<String> {
    let path = if url.starts_with('/') { local_path(url) } else { path_on(url, host?) };
    path.map(ToOwned::to_owned)
}

/// Returns the path of an absolute URL whose host is `host`.
fn path_on<'u>(url: &'u str, host: &str) -> Option<&'u str> {
    let (scheme, rest) = url.split_once("://")?;
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let plain = |name: &str| name.strip_suffix(default_port).unwrap_or(name).to_ascii_lowercase();
    // User information can look like a host, and links within a site have none.
    if authority.is_empty() || authority.contains('@') || plain(authority) != plain(host) {
        return None;
    }
    if path.is_empty() { Some("/") } else { local_path(path) }
}

/// Returns `path` if a browser reads it as a path of the same site. Two slashes begin a host. Browsers
/// read a backslash as a slash, and drop tabs and line breaks.
fn local_path(path: &str) -> Option<&str> {
    let mut characters = path.chars();
    let local = characters.next() == Some('/') && !matches!(characters.next(), Some('/' | '\\'));
    let clean = !path.contains(|c: char| c.is_control() || c == '\\' || c.is_whitespace());
    (local && clean && path.is_ascii()).then_some(path)
}

fn without_fragment(path: &str) -> &str {
    path.split('#').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOST: Option<&str> = Some("example.org");

    #[test]
    fn the_same_host_leads_back() {
        for (referer, path) in [
            ("https://example.org/form", "/form"),
            ("http://EXAMPLE.org/form?a=b//c", "/form?a=b//c"),
            ("https://example.org:443/", "/"),
            ("https://example.org", "/"),
            ("https://example.org/a#b", "/a"),
        ] {
            assert_eq!(back(Some(referer), HOST, "/fallback"), path, "{referer}");
        }
        assert_eq!(back(Some("http://localhost:3333/x"), Some("localhost:3333"), "/"), "/x");
    }

    #[test]
    fn nothing_leads_elsewhere() {
        let foreign = [
            "https://evil.example/",
            "https://evil.example/example.org",
            "https://example.org.evil.example/",
            "https://example.org@evil.example/",
            "https://evil.example@example.org/",
            "https://example.org:8443/",
            "https://example.org\\@evil.example/",
            "https://example.org//evil.example",
            "https://example.org/\\evil.example",
            "https://example.org/\t/evil.example",
            "https://example.org/a\r\nLocation: x",
            "https:example.org/",
            "https:/example.org/",
            "https:///evil.example/",
            "//example.org/",
            "//evil.example/",
            "/form",
            "javascript:alert(1)",
            "data:text/html,x",
            "ftp://example.org/",
            "https://exämple.org/",
            "https://example.org/ä",
            "https://example.org?x",
            "",
        ];
        for referer in foreign {
            assert_eq!(back(Some(referer), HOST, "/fallback"), "/fallback", "{referer}");
        }
        assert_eq!(back(Some("https://example.org/"), None, "/fallback"), "/fallback");
    }

    #[test]
    fn a_fallback_stays_on_the_site() {
        assert_eq!(back(None, HOST, "/a?b#c"), "/a?b#c");
        for fallback in
            ["//evil.example", "/\\evil.example", "https://example.org/", "/a\r\nx", "/ä", "a", ""]
        {
            assert_eq!(back(None, HOST, fallback), "/", "{fallback}");
        }
    }

    #[test]
    fn an_intended_url_stays_on_the_site() {
        assert_eq!(local_target("/a?b#c", None).as_deref(), Some("/a?b#c"));
        for foreign in
            ["//evil.example", "/\\evil.example", "\\/evil.example", "https://x/", "a", ""]
        {
            assert_eq!(local_target(foreign, None), None, "{foreign}");
        }
    }

    proptest! {
        #[test]
        fn a_target_is_a_path_of_one_slash_or_the_fallback(referer in ".{0,60}", rest in "[/\\\\@:?#.a-z\\t]{0,20}") {
            for referer in [referer, format!("https://example.org{rest}")] {
                let target = back(Some(&referer), HOST, "/fallback");
                prop_assert!(target.starts_with('/') && !target.starts_with("//") && !target.contains('\\'));
            }
        }
    }
}
