//! The origins that belong to the application or are trusted by it.

use crate::error::ConfigError;
use crate::http::{origin::Origin, site_scheme::SiteScheme};

/// The origins of an application: its own, and others that it trusts. CSRF layers and redirects use the
/// same list.
///
/// [`Sessions::origins`](crate::Sessions::origins) returns those of the settings.
///
/// # The application's own origin
/// It is the [`public_origin`](Self::public_origin) if that is set. Otherwise it is the `Host` header of each
/// request (`:authority` in HTTP/2), with https, or with either scheme if the cookie is not `Secure`.
///
/// # Security
/// `X-Forwarded-Host`, `X-Forwarded-Proto` and `Forwarded` are not read. A client can send them, and an
/// application cannot tell which of them its proxy has written.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{SiteOrigins, SiteScheme};
///
/// let origins = SiteOrigins::new(SiteScheme::Https)
///     .public_origin("https://example.org".parse()?)
///     .trusted_origins(["https://admin.example.org".parse()?]);
/// assert_eq!(
///     origins.redirect_target("https://admin.example.org/users", None).as_deref(),
///     Some("https://admin.example.org/users"),
/// );
/// # Ok::<(), cloakroom::OriginError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct SiteOrigins {
    scheme: SiteScheme,
    public: Option<Origin>,
    trusted: Vec<Origin>,
}

impl SiteOrigins {
    /// Makes the list of an application whose own origin is that of `Host` and which trusts no other.
    #[must_use]
    pub fn new(scheme: SiteScheme) -> Self {
        Self { scheme, ..Self::default() }
    }

    /// Sets the application's own origin. `Host` is not read then.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{SiteOrigins, SiteScheme};
    ///
    /// let origins = SiteOrigins::new(SiteScheme::Https).public_origin("https://example.org".parse()?);
    /// let behind_a_proxy = Some("10.0.0.7:3333");
    /// let target = origins.redirect_target("https://example.org/form", behind_a_proxy);
    /// assert_eq!(target.as_deref(), Some("/form"));
    /// # Ok::<(), cloakroom::OriginError>(())
    /// ```
    #[must_use]
    pub fn public_origin(self, origin: Origin) -> Self {
        Self { public: Some(origin), ..self }
    }

    /// Sets the other origins that are trusted.
    #[must_use]
    pub fn trusted_origins(self, origins: impl IntoIterator<Item = Origin>) -> Self {
        Self { trusted: origins.into_iter().collect(), ..self }
    }

    /// Checks that browsers send the cookie to the public origin.
    ///
    /// # Errors
    /// If the cookie is `Secure` and the public origin is plain http.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{SiteOrigins, SiteScheme};
    ///
    /// let origins = SiteOrigins::new(SiteScheme::Https).public_origin("http://example.org".parse()?);
    /// assert_eq!(origins.validate().unwrap_err().key(), "public_origin");
    /// # Ok::<(), cloakroom::OriginError>(())
    /// ```
    pub fn validate(&self) -> Result<(), ConfigError> {
        let is_plain_http = self.public.as_ref().is_some_and(|public| !public.is_https());
        if is_plain_http && self.scheme == SiteScheme::Https {
            return Err(ConfigError::new("public_origin", HTTPS));
        }
        Ok(())
    }

    /// Returns whether `origin` is the application's own. `host` is the request's host.
    pub(crate) fn is_own(&self, origin: &Origin, host: Option<&str>) -> bool {
        let scheme_fits = self.scheme == SiteScheme::Any || origin.is_https();
        match &self.public {
            Some(public) => public == origin,
            None => scheme_fits && host.is_some_and(|host| origin.is_of_host(host)),
        }
    }

    /// Returns the application's own origin. `host` is the request's host, and a site that may be reached by
    /// plain http is, as in development.
    pub(crate) fn own(&self, host: Option<&str>) -> Option<String> {
        let scheme = if self.scheme == SiteScheme::Https { "https" } else { "http" };
        let by_host = || Origin::parse(&format!("{scheme}://{}", host?));
        self.public.clone().or_else(by_host).map(|origin| origin.to_string())
    }

    /// Returns whether `origin` can be that of a page that sent a request to its own origin. Without a public
    /// origin any can be, because a proxy may have changed `Host`.
    pub(crate) fn agrees_with(&self, origin: Option<&Origin>) -> bool {
        self.public.is_none() || self.public.as_ref() == origin
    }

    /// Returns whether `origin` has the application's own host and port. A redirect keeps the scheme of the
    /// request.
    pub(crate) fn is_own_host(&self, origin: &Origin, host: Option<&str>) -> bool {
        match &self.public {
            Some(public) => public.has_host_of(origin),
            None => host.is_some_and(|host| origin.is_of_host(host)),
        }
    }

    pub(crate) fn trusts(&self, origin: &Origin) -> bool {
        self.trusted.contains(origin)
    }
}

const HTTPS: &str = "an origin of https is accepted with cookie.secure = true, because browsers send the \
                     cookie over https only";

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_own_origin_is_the_host_unless_the_settings_name_it() {
        let by_host = SiteOrigins::new(SiteScheme::Https);
        let development = SiteOrigins::new(SiteScheme::Any);
        let named = by_host.clone().public_origin(origin("https://example.org"));
        let host = Some("10.0.0.7");
        for (sender, host, of_host, in_development, of_named) in [
            ("https://example.org", Some("example.org"), true, true, true),
            ("https://example.org", host, false, false, true),
            ("https://example.org", None, false, false, true),
            ("https://10.0.0.7", host, true, true, false),
            ("http://10.0.0.7", host, false, true, false),
            ("http://example.org", Some("example.org"), false, true, false),
            ("https://example.org:8443", Some("example.org"), false, false, false),
            ("https://example.org:8443", Some("example.org:8443"), true, true, false),
        ] {
            let sender = origin(sender);
            let is_own = [&by_host, &development, &named].map(|site| site.is_own(&sender, host));
            assert_eq!(is_own, [of_host, in_development, of_named], "{sender} {host:?}");
        }
    }

    #[test]
    fn a_public_origin_that_the_cookie_does_not_reach_is_an_error() {
        for (scheme, public, is_valid) in [
            (SiteScheme::Https, "https://example.org", true),
            (SiteScheme::Https, "http://example.org", false),
            (SiteScheme::Any, "http://localhost:3333", true),
            (SiteScheme::Any, "https://example.org", true),
        ] {
            let checked = SiteOrigins::new(scheme).public_origin(origin(public)).validate();
            assert_eq!(checked.is_ok(), is_valid, "{scheme:?} {public}");
        }
    }
}
