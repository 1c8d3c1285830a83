//! Redirects that stay within this site or lead to a trusted origin, whatever a visitor or another site
//! sends.

use crate::http::{headers::Headers, origin::Origin, site_origins::SiteOrigins};

/// Extracts the page that a visitor came from, if it is on this site or on a trusted origin.
///
/// This is the page that the session remembers, if the setting
/// [`previous_url`](crate::SessionsBuilder::previous_url) is on, and otherwise that of the `Referer`.
///
/// # Security
/// The client chooses the `Referer`. If its host is this site's, only its path and query are used. If its
/// origin is [trusted](crate::SessionsBuilder::trusted_origins), the redirect leads to this origin. Any
/// other `Referer` is ignored.
#[derive(Clone, Debug)]
pub struct Back {
    /// The URL of the page, without its fragment.
    page: Option<String>,
}

impl Back {
    /// Reads the `Referer` and the `Host` of a request. `authority` is that of the request's URI, which
    /// takes the place of `Host` in HTTP/2.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{redirect::Back, SiteOrigins};
    ///
    /// let headers = [("host", "example.org"), ("referer", "https://example.org/form")];
    /// let back = Back::of(headers.as_slice(), None, &SiteOrigins::default());
    /// assert_eq!(back.target("/"), "/form");
    /// ```
    pub fn of(
        headers: &(impl Headers + ?Sized),
        authority: Option<&str>,
        origins: &SiteOrigins,
    ) -> Self {
        let host = headers.text("host").or(authority);
        Self { page: page(headers.text("referer"), host, origins) }
    }

    /// Leads to `page`, a path of this site.
    pub(crate) fn to_page(page: String) -> Self {
        Self { page: Some(page) }
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

    /// Returns the URL of the page that the visitor came from, or `fallback` as [`or`](Self::or) does. For
    /// a page of this site, the URL is its path and query.
    pub fn target(&self, fallback: &str) -> String {
        self.page
            .clone()
            .unwrap_or_else(|| local_path(fallback).unwrap_or_else(|| refused()).to_owned())
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

    /// Redirects to the result of [`SiteOrigins::redirect_target`].
    pub(crate) fn to_checked(target: String) -> Self {
        Self(target)
    }

    /// Returns the `Location` header's value.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{redirect::Back, SiteOrigins};
    ///
    /// let no_headers: &[(&str, &str)] = &[];
    /// let back = Back::of(no_headers, None, &SiteOrigins::default());
    /// assert_eq!(back.or("/start").location(), "/start");
    /// ```
    pub fn location(&self) -> &str {
        &self.0
    }
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

/// Returns the URL of the page that the `Referer` names, without its fragment.
fn page(referer: Option<&str>, host: Option<&str>, origins: &SiteOrigins) -> Option<String> {
    let absolute = referer.filter(|referer| !referer.starts_with('/'))?;
    origins.redirect_target(without_fragment(absolute), host)
}

impl SiteOrigins {
    /// Returns where a redirect to `url` may lead: a path of this site as it is, an absolute URL of this
    /// site as its path and query, and an absolute URL of a trusted origin as a whole. Returns `None` for
    /// anything else. `host` is the request's `Host`, or `:authority` in HTTP/2.
    ///
    /// Use it for a target that the request names, such as a field `next`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{SiteOrigins, SiteScheme};
    ///
    /// let origins = SiteOrigins::new(SiteScheme::Https)
    ///     .trusted_origins(["https://admin.example.org".parse()?]);
    /// let target = |url| origins.redirect_target(url, Some("example.org"));
    /// assert_eq!(target("/account?tab=2").as_deref(), Some("/account?tab=2"));
    /// assert_eq!(target("https://example.org/a").as_deref(), Some("/a"));
    /// let trusted = "https://admin.example.org/users";
    /// assert_eq!(target(trusted).as_deref(), Some(trusted));
    /// assert_eq!(target("//evil.example/"), None);
    /// # Ok::<(), cloakroom::OriginError>(())
    /// ```
    #[must_use]
    pub fn redirect_target(&self, url: &str, host: Option<&str>) -> Option<String> {
        if url.starts_with('/') {
            return local_path(url).map(ToOwned::to_owned);
        }
        let (origin, rest) = Origin::split(url)?;
        let path = if rest.is_empty() { "/" } else { local_path(rest)? };
        if self.is_own_host(&origin, host) {
            Some(path.to_owned())
        } else {
            self.trusts(&origin).then(|| format!("{origin}{path}"))
        }
    }
}

/// Returns `path` if a browser reads it as a path of the same site. Two slashes begin a host. Browsers
/// read a backslash as a slash, and drop tabs and line breaks.
pub(crate) fn local_path(path: &str) -> Option<&str> {
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

    fn back(referer: Option<&str>, host: Option<&str>, fallback: &str) -> String {
        back_among(&SiteOrigins::default(), referer, host, fallback)
    }

    fn back_among(
        origins: &SiteOrigins,
        referer: Option<&str>,
        host: Option<&str>,
        fallback: &str,
    ) -> String {
        let headers = [("referer", referer), ("host", host)];
        let headers = headers.into_iter().filter_map(|(name, value)| Some((name, value?)));
        Back::of(headers.collect::<Vec<_>>().as_slice(), None, origins).target(fallback)
    }

    fn trusting() -> SiteOrigins {
        let origins = ["https://admin.example.org", "http://localhost:5173"];
        SiteOrigins::default().trusted_origins(origins.map(|origin| origin.parse().unwrap()))
    }

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
    fn a_target_from_the_request_stays_on_the_site() {
        let target = |url| SiteOrigins::default().redirect_target(url, None);
        assert_eq!(target("/a?b#c").as_deref(), Some("/a?b#c"));
        for foreign in
            ["//evil.example", "/\\evil.example", "\\/evil.example", "https://x/", "a", ""]
        {
            assert_eq!(target(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_trusted_origin_is_led_back_to_as_a_whole_url() {
        for (referer, target) in [
            ("https://admin.example.org/form?a#b", "https://admin.example.org/form?a"),
            ("https://ADMIN.example.org:443/form", "https://admin.example.org/form"),
            ("https://admin.example.org", "https://admin.example.org/"),
            ("http://localhost:5173/form", "http://localhost:5173/form"),
            ("https://example.org/form", "/form"),
            ("http://admin.example.org/", "/fallback"),
            ("https://admin.example.org:8443/", "/fallback"),
            ("https://admin.example.org.evil.example/", "/fallback"),
            ("https://admin.example.org@evil.example/", "/fallback"),
            ("https://admin.example.org\\@evil.example/", "/fallback"),
            ("https://admin.example.org//evil.example/", "/fallback"),
            ("https://admin.example.org/a\r\nx", "/fallback"),
            ("https://localhost:5173/form", "/fallback"),
            ("https://evil.example/", "/fallback"),
        ] {
            assert_eq!(
                back_among(&trusting(), Some(referer), HOST, "/fallback"),
                target,
                "{referer}"
            );
        }
    }

    #[test]
    fn a_public_origin_takes_the_place_of_the_host() {
        let origins = trusting().public_origin("https://example.org".parse().unwrap());
        for host in [None, Some("10.0.0.7:3333"), Some("evil.example")] {
            for (referer, target) in [
                ("https://example.org/form", "/form"),
                ("http://example.org/form", "/form"),
                ("https://admin.example.org/", "https://admin.example.org/"),
                ("https://example.org:8443/", "/fallback"),
                ("https://10.0.0.7:3333/", "/fallback"),
                ("https://evil.example/", "/fallback"),
            ] {
                let found = back_among(&origins, Some(referer), host, "/fallback");
                assert_eq!(found, target, "{referer} {host:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_target_is_local_or_on_a_trusted_origin(rest in "[/\\\\@:?#.a-z\\t]{0,20}") {
            for url in [rest.clone(), format!("https://admin.example.org{rest}")] {
                let Some(target) = trusting().redirect_target(&url, HOST) else { continue };
                let path = target.strip_prefix("https://admin.example.org").unwrap_or(&target);
                prop_assert!(path.starts_with('/') && !path.starts_with("//") && !path.contains('\\'));
            }
        }

        #[test]
        fn a_target_is_a_path_of_one_slash_or_the_fallback(referer in ".{0,60}", rest in "[/\\\\@:?#.a-z\\t]{0,20}") {
            for referer in [referer, format!("https://example.org{rest}")] {
                let target = back(Some(&referer), HOST, "/fallback");
                prop_assert!(target.starts_with('/') && !target.starts_with("//") && !target.contains('\\'));
            }
        }
    }
}
