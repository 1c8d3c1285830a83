//! The headers that a session adds to a response.

use std::{borrow::Cow, fmt};

use crate::http::headers::Headers;

/// Writes the headers of a response. An adapter implements it for its framework's header map.
pub trait HeadersMut: Headers {
    /// Adds a header `name` to those that are there.
    fn append(&mut self, name: &'static str, value: Cow<'static, str>);

    /// Replaces all headers `name` by one.
    fn replace(&mut self, name: &'static str, value: Cow<'static, str>);
}

/// The headers that a response has to carry for its session.
#[derive(Clone, Default, PartialEq, Eq)]
#[must_use = "the response needs these headers"]
#[non_exhaustive]
pub struct ResponseHeaders {
    /// The values of the `Set-Cookie` headers to append.
    pub set_cookie: Vec<String>,
    /// The request header for the response's `Vary`, if the response depends on the session.
    pub vary: Option<&'static str>,
    /// `true` if the body of the response shows the token, so that no cache may store it.
    pub secret: bool,
    /// The value of `Secure-Session-Registration`, which asks the browser to register its device.
    pub registration: Option<String>,
    /// The value of the header `Clear-Site-Data`, if the visitor has signed out.
    pub clear_site_data: Option<String>,
}

const PRIVATE: &str = r#"private, no-cache="Set-Cookie""#;

impl ResponseHeaders {
    /// Writes the headers into a response.
    ///
    /// 1. A response that depends on the session gets a `Vary` of the header that carried the token, so
    ///    that a cache does not show one visitor's page to another (RFC 9111, 4.1).
    /// 2. A response that sets the session cookie or asks for a device is kept from shared caches, whatever
    ///    its handler says about caching. A response that shows a token is not stored by any cache.
    /// 3. The response to a sign-out gets the `Clear-Site-Data` of the settings, unless its handler has set
    ///    one.
    pub fn write_to(self, response: &mut impl HeadersMut) {
        if let Some(header) = self.vary.filter(|header| !varies_with(response, header)) {
            response.append("vary", header.into());
        }
        if self.secret {
            response.replace("cache-control", "no-store".into());
        }
        if !self.set_cookie.is_empty() || self.registration.is_some() {
            keep_from_shared_caches(response);
        }
        if let Some(registration) = self.registration {
            response.append("secure-session-registration", registration.into());
        }
        if let Some(data) = self.clear_site_data
            && response.all("clear-site-data").next().is_none()
        {
            response.append("clear-site-data", data.into());
        }
        for line in self.set_cookie {
            response.append("set-cookie", line.into());
        }
    }
}

/// Hides the cookies, because they hold the token.
impl fmt::Debug for ResponseHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { set_cookie, vary, secret, clear_site_data, .. } = self;
        let count = set_cookie.len();
        write!(
            f,
            "ResponseHeaders({count} Set-Cookie, vary: {vary:?}, secret: {secret}, clear_site_data: \
             {clear_site_data:?})"
        )
    }
}

fn list<'a>(headers: &'a impl Headers, name: &'static str) -> impl Iterator<Item = &'a str> {
    let values = headers.all(name).filter_map(|value| std::str::from_utf8(value).ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

fn varies_with(response: &impl Headers, header: &str) -> bool {
    list(response, "vary").any(|name| name == "*" || name.eq_ignore_ascii_case(header))
}

/// Adds `private` to the handler's own directives, and removes those that let a shared cache keep the
/// response.
fn keep_from_shared_caches(headers: &mut impl HeadersMut) {
    let own: Vec<String> = list(headers, "cache-control")
        .map(str::to_ascii_lowercase)
        .filter(|directive| {
            directive != "public" && directive != "private" && !directive.starts_with("s-maxage")
        })
        .collect();
    if own.is_empty() {
        headers.replace("cache-control", PRIVATE.into());
    } else if !own.iter().any(|directive| directive == "no-store") {
        headers.replace("cache-control", format!("{}, {PRIVATE}", own.join(", ")).into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Pairs(Vec<(&'static str, String)>);

    impl Headers for Pairs {
        fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
            self.0.as_slice().all(name)
        }
    }

    impl HeadersMut for Pairs {
        fn append(&mut self, name: &'static str, value: Cow<'static, str>) {
            self.0.push((name, value.into_owned()));
        }

        fn replace(&mut self, name: &'static str, value: Cow<'static, str>) {
            self.0.retain(|(candidate, _)| *candidate != name);
            self.append(name, value);
        }
    }

    fn written(name: &'static str, said: Option<&str>) -> String {
        let mut response = Pairs::default();
        if let Some(said) = said {
            response.append(name, said.to_owned().into());
        }
        let (set_cookie, vary) = (vec!["a=b".to_owned()], Some("Cookie"));
        let clear_site_data = Some("\"cache\"".to_owned());
        ResponseHeaders { set_cookie, vary, clear_site_data, ..ResponseHeaders::default() }
            .write_to(&mut response);
        let values: Vec<_> = list(&response, name).collect();
        values.join(", ")
    }

    #[test]
    fn no_shared_cache_may_keep_a_session_cookie() {
        let control = |said| written("cache-control", said);
        assert_eq!(control(None), r#"private, no-cache="Set-Cookie""#);
        assert_eq!(control(Some("no-store")), "no-store");
        let public = control(Some("Public, max-age=60, s-maxage=600"));
        assert_eq!(public, r#"max-age=60, private, no-cache="Set-Cookie""#);
    }

    #[test]
    fn vary_names_the_cookie_once() {
        assert_eq!(written("vary", Some("Accept, cookie")), "Accept, cookie");
        assert_eq!(written("vary", Some("Accept")), "Accept, Cookie");
        assert_eq!(written("vary", Some("*")), "*");
        assert_eq!(written("set-cookie", Some("c=d")), "c=d, a=b");
    }

    #[test]
    fn a_handler_says_itself_what_the_browser_clears() {
        assert_eq!(written("clear-site-data", None), "\"cache\"");
        assert_eq!(written("clear-site-data", Some("\"*\"")), "\"*\"");
    }
}
