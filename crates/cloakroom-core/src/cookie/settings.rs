//! The name and the attributes of the session cookie.

use crate::{
    error::ConfigError,
    http::{headers::is_header_name, site_scheme::SiteScheme},
};

/// The largest accepted [`CookieSettings::max_chunks`].
pub(crate) const MAX_CHUNKS: u8 = 16;

/// The cross-site requests that send the cookie (RFC 6265bis, 4.1.2.7; OWASP ASVS 5.0, 3.3.2).
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::cookie::{CookieSettings, SameSite};
///
/// assert_eq!(CookieSettings::default().same_site, SameSite::Lax);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Sends the cookie with top-level navigations that use a safe method. Visitors who follow a link
    /// from another site are signed in, and forged posts have no session. This is the default.
    #[default]
    Lax,
    /// Sends the cookie with no cross-site request. A visitor who follows a link from another site
    /// looks signed out on the first page.
    Strict,
    /// Sends the cookie with every request. Use it for sites that are embedded in others. Browsers
    /// require `Secure` for it. The CSRF layer is then the only protection against forged requests.
    None,
}

/// The name and the attributes of the session cookie.
///
/// Start from [`CookieSettings::default`] for https, or from [`CookieSettings::development`] for plain
/// http on localhost. [`SessionsBuilder::build`](crate::SessionsBuilder::build) checks the settings.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::cookie::{CookieSettings, SameSite};
///
/// let settings = CookieSettings { same_site: SameSite::Strict, ..CookieSettings::default() };
/// assert_eq!(settings.name, "__Host-Http-session");
/// assert!(settings.validate().is_ok());
///
/// let refused = CookieSettings { domain: Some("example.org".into()), ..settings };
/// let why = refused.validate().unwrap_err().to_string();
/// assert!(why.contains("__Host-") && why.contains("domain"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is on or off in a cookie")]
pub struct CookieSettings {
    /// The name of the cookie. The default is `__Host-Http-session`. Browsers accept a name with the prefix
    /// `__Host-` only from the host itself and over https (RFC 6265bis, 4.1.3.2; OWASP ASVS 5.0, 3.3.1
    /// and 3.3.3), and one with `__Host-Http-` only from a response, not from a script
    /// (draft-ietf-httpbis-layered-cookies; Chrome 140, Firefox 143). To older browsers it is a `__Host-`
    /// name. Under a name without a prefix, other subdomains can plant cookies. With a domain, take
    /// `__Secure-`, because `__Http-` protects nothing in older browsers.
    pub name: String,
    /// Whether browsers send the cookie over https only. The default is `true` (OWASP ASVS 5.0, 3.3.1).
    /// With `false`, everyone on the network path can read the cookie.
    pub secure: bool,
    /// Whether browsers hide the cookie from scripts. The default is `true` (OWASP ASVS 5.0, 3.3.4).
    /// With `false`, an injected script can steal the session.
    pub http_only: bool,
    /// The cross-site requests that send the cookie. The default is [`SameSite::Lax`]. Each variant
    /// states its cost.
    pub same_site: SameSite,
    /// The path below which browsers send the cookie. The default is `/`. With a longer path, requests to
    /// other paths do not carry the cookie. The path does not protect applications on one host from each
    /// other.
    pub path: String,
    /// The domain whose hosts all receive the cookie. The default is `None`, which limits the cookie to
    /// the host that sets it. With a domain, each of its hosts can read and plant the cookie.
    pub domain: Option<String>,
    /// Whether browsers keep a separate cookie for each site that embeds this one (CHIPS,
    /// draft-ietf-httpbis-layered-cookies). The default is `false`. Set it for pages in a frame of another
    /// site, because browsers block other cookies there. It requires `secure` and [`SameSite::None`]. A
    /// visitor then has one session for each embedding site, and another one on the site itself.
    pub partitioned: bool,
    /// The number of cookies of about 4 kB that one session of the cookie driver may take. The default
    /// is 4, and 16 is the maximum. Browsers send all of them with each request, and many proxies accept
    /// 8 kB of headers only.
    pub max_chunks: u8,
    /// Whether the cookie ends when the browser is closed. The default is `false`. Browsers that restore
    /// their windows keep such cookies too. The timeouts of the session apply in both cases.
    pub browser_session: bool,
}

/// Returns settings for production over https.
impl Default for CookieSettings {
    fn default() -> Self {
        Self {
            name: "__Host-Http-session".to_owned(),
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            path: "/".to_owned(),
            domain: None,
            partitioned: false,
            max_chunks: 4,
            browser_session: false,
        }
    }
}

impl CookieSettings {
    /// Returns settings for development over plain http on localhost.
    ///
    /// The cookie is not `Secure`. Its name is `session`, because browsers require `Secure` for the
    /// prefix `__Host-`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// let settings = cloakroom::cookie::CookieSettings::development();
    /// assert_eq!(settings.name, "session");
    /// ```
    #[must_use]
    pub fn development() -> Self {
        Self { name: "session".to_owned(), secure: false, ..Self::default() }
    }

    /// Returns the settings of a cookie with another name, and with these attributes as far as browsers
    /// accept them for the prefix of the name. For
    /// [`SessionsBuilder::old_cookie`](crate::SessionsBuilder::old_cookie).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::cookie::CookieSettings;
    ///
    /// let shared = CookieSettings {
    ///     name: "__Secure-shop".into(),
    ///     domain: Some("example.org".into()),
    ///     ..CookieSettings::default()
    /// };
    /// let before = shared.renamed("__Host-shop");
    /// assert_eq!((before.name.as_str(), before.domain), ("__Host-shop", None));
    /// ```
    #[must_use]
    pub fn renamed(&self, name: impl Into<String>) -> Self {
        let mut renamed = Self { name: name.into(), ..self.clone() };
        let has = |prefix: &(&str, &str)| has_prefix(&renamed.name, prefix.0);
        let (is_host, is_http) = (has(&HOST), has(&HTTP) || has(&HOST_HTTP));
        renamed.secure |= is_host || is_http || has(&SECURE);
        renamed.http_only |= is_http;
        if is_host {
            "/".clone_into(&mut renamed.path);
            renamed.domain = None;
        }
        renamed
    }

    /// Checks that browsers accept a cookie with these settings.
    ///
    /// [`SessionsBuilder::build`](crate::SessionsBuilder::build) calls it.
    ///
    /// # Errors
    /// If a name, path or domain is malformed, `max_chunks` is not from 1 to 16, or two settings
    /// contradict each other. The error names the setting and the accepted values.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::cookie::{CookieSettings, SameSite};
    ///
    /// let settings = CookieSettings { same_site: SameSite::None, ..CookieSettings::development() };
    /// let error = settings.validate().unwrap_err().to_string();
    /// assert!(error.starts_with("cookie.same_site: `none` is accepted"), "{error}");
    /// ```
    pub fn validate(&self) -> Result<(), ConfigError> {
        let Self {
            name, secure, http_only, same_site, path, domain, partitioned, max_chunks, ..
        } = self;
        let chunk_name =
            name.rsplit_once('.').is_some_and(|(_, number)| number.parse::<u8>().is_ok());
        let bound = *secure && path == "/" && domain.is_none();
        let rules = [
            // A token, as the name of a header (RFC 6265bis, 4.1.1).
            (is_header_name(name), NAME, "letters, digits and !#$%&'*+-.^_`|~ are accepted"),
            (!chunk_name, NAME, CHUNK_NAME),
            (is_attribute(path) && path.starts_with('/'), "cookie.path", PATH),
            (domain.as_deref().is_none_or(is_domain), "cookie.domain", DOMAIN),
            ((1..=MAX_CHUNKS).contains(max_chunks), "cookie.max_chunks", "1 to 16 are accepted"),
            (!has_prefix(name, HOST_HTTP.0) || (bound && *http_only), NAME, HOST_HTTP.1),
            (!has_prefix(name, HOST.0) || bound, NAME, HOST.1),
            (!has_prefix(name, HTTP.0) || (*secure && *http_only), NAME, HTTP.1),
            (!has_prefix(name, SECURE.0) || *secure, NAME, SECURE.1),
            (*same_site != SameSite::None || *secure, "cookie.same_site", SAME_SITE),
            (
                !*partitioned || (*secure && *same_site == SameSite::None),
                "cookie.partitioned",
                PARTITIONED,
            ),
        ];
        match rules.iter().find(|(holds, ..)| !holds) {
            Some((_, key, accepted)) => Err(ConfigError::new(key, accepted)),
            None => Ok(()),
        }
    }

    /// Returns the scheme of the site's URLs. It is https if the cookie is `Secure`, because browsers then
    /// only send it over https.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{SiteScheme, cookie::CookieSettings};
    ///
    /// assert_eq!(CookieSettings::default().site_scheme(), SiteScheme::Https);
    /// assert_eq!(CookieSettings::development().site_scheme(), SiteScheme::Any);
    /// ```
    pub fn site_scheme(&self) -> SiteScheme {
        if self.secure { SiteScheme::Https } else { SiteScheme::Any }
    }

    /// Returns the attributes of a `Set-Cookie` line, except `Max-Age`.
    pub(super) fn attributes(&self) -> String {
        let mut line = format!("; Path={}", self.path);
        if let Some(domain) = &self.domain {
            line.push_str("; Domain=");
            line.push_str(domain);
        }
        line.push_str(if self.http_only { "; HttpOnly" } else { "" });
        line.push_str(if self.secure { "; Secure" } else { "" });
        line.push_str(match self.same_site {
            SameSite::Lax => "; SameSite=Lax",
            SameSite::Strict => "; SameSite=Strict",
            SameSite::None => "; SameSite=None",
        });
        line.push_str(if self.partitioned { "; Partitioned" } else { "" });
        line
    }
}

const NAME: &str = "cookie_name";
const CHUNK_NAME: &str = "the end `.` and a number is reserved for the chunks of a session; \
                          take a name without it";
const PATH: &str = "a path that begins with `/` is accepted, up to 1024 visible characters \
                    without `;`";
const DOMAIN: &str = "a host name is accepted, such as `example.org`";
/// The prefixes of names for which browsers require attributes (draft-ietf-httpbis-layered-cookies), each
/// with these attributes. Browsers that do not know `__Http-` take no notice of it, and take
/// `__Host-Http-` for `__Host-`.
const HOST_HTTP: (&str, &str) = (
    "__Host-Http-",
    "a name with the prefix `__Host-Http-` is accepted by browsers only with cookie.secure = true, \
     cookie.http_only = true, cookie.path = \"/\" and no cookie.domain; change these or take another \
     name",
);
const HOST: (&str, &str) = (
    "__Host-",
    "a name with the prefix `__Host-` is accepted by browsers only with cookie.secure = true, \
     cookie.path = \"/\" and no cookie.domain; change these or take another name",
);
const HTTP: (&str, &str) = (
    "__Http-",
    "a name with the prefix `__Http-` is accepted by browsers only with cookie.secure = true and \
     cookie.http_only = true; change these or take another name",
);
const SECURE: (&str, &str) = (
    "__Secure-",
    "a name with the prefix `__Secure-` is accepted by browsers only with cookie.secure = true",
);
const PARTITIONED: &str = "`true` is accepted only with cookie.secure = true and \
                           cookie.same_site = \"none\", because browsers refuse the cookie or do not send it \
                           in a frame of another site otherwise";
const SAME_SITE: &str = "`none` is accepted by browsers only with cookie.secure = true";

/// Returns whether `name` begins with `prefix` in upper or lower case, as browsers compare prefixes
/// (RFC 6265bis, 5.7).
pub(super) fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn is_attribute(value: &str) -> bool {
    value.len() <= 1024 && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';')
}

/// Returns whether `domain` is a host name (RFC 1123, 2.1). Browsers ignore a dot before it (RFC 6265bis,
/// 5.6.3).
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    domain.len() <= 253 && domain.strip_prefix('.').unwrap_or(domain).split('.').all(is_label)
}
