//! Name and attributes of the session cookie.

use std::fmt;

/// How many cookies one session can be split over at the most, whatever the settings.
pub(crate) const MAX_CHUNKS: u8 = 16;

/// Which requests of other sites carry the cookie (RFC 6265bis, 4.1.2.7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SameSite {
    /// Top-level navigations with a safe method: links work, forged posts do not. The default.
    #[default]
    Lax,
    /// None: a visitor who follows a link from elsewhere looks signed out.
    Strict,
    /// All: for sites that are embedded in others. Needs `secure`, and CSRF protection carries all
    /// the weight.
    None,
}

/// Name and attributes of the session cookie. Change fields of [`CookieSettings::default`] or
/// [`CookieSettings::development`]; they are checked when the session system is built.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::cookie::{CookieSettings, SameSite};
///
/// let settings = CookieSettings { same_site: SameSite::Strict, ..CookieSettings::default() };
/// assert_eq!(settings.name, "__Host-session");
/// assert!(settings.validate().is_ok());
///
/// let refused = CookieSettings { domain: Some("example.org".into()), ..settings };
/// let why = refused.validate().unwrap_err().to_string();
/// assert!(why.contains("__Host-") && why.contains("domain"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieSettings {
    /// The cookie's name. Default `__Host-session`: the prefix has browsers refuse a cookie of that
    /// name that another host or plain http sets (RFC 6265bis, 4.1.3.2). Without the prefix a
    /// neighbouring subdomain can plant cookies.
    pub name: String,
    /// Whether browsers send the cookie over https only. Default true. Plain http shows the cookie
    /// to everyone on the way.
    pub secure: bool,
    /// Whether scripts are kept from reading the cookie. Default true. Without it any injected
    /// script can take the session away.
    pub http_only: bool,
    /// Which requests of other sites carry the cookie. Default [`SameSite::Lax`].
    pub same_site: SameSite,
    /// The path below which browsers send the cookie. Default `/`. It is no protection between
    /// applications on one host.
    pub path: String,
    /// The domain whose subdomains get the cookie as well. Default none: this host alone. Every
    /// host of the domain can then read and plant it.
    pub domain: Option<String>,
    /// How many cookies of about 4 kB a session on the cookie driver may take. Default 4, at most
    /// 16. Each is sent with each request, and proxies often take no more than 8 kB of headers.
    pub max_chunks: u8,
    /// Whether the cookie ends with the browser. Default false. Browsers that restore their windows
    /// keep it; the session's own deadlines hold either way.
    pub browser_session: bool,
}

/// For https: what production needs.
impl Default for CookieSettings {
    fn default() -> Self {
        Self {
            name: "__Host-session".to_owned(),
            secure: true,
            http_only: true,
            same_site: SameSite::Lax,
            path: "/".to_owned(),
            domain: None,
            max_chunks: 4,
            browser_session: false,
        }
    }
}

impl CookieSettings {
    /// For plain http on localhost: not `Secure`, and the name `session` without the prefix that
    /// needs it.
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

    /// Checks that browsers accept cookies of these settings.
    ///
    /// # Errors
    /// When they would not; the error names the settings that contradict each other and what is
    /// accepted.
    pub fn validate(&self) -> Result<(), CookieError> {
        let Self { name, secure, http_only, same_site, path, domain, max_chunks, .. } = self;
        let chunk_name =
            name.rsplit_once('.').is_some_and(|(_, number)| number.parse::<u8>().is_ok());
        let rules = [
            (is_token(name), "cookie_name: letters, digits and !#$%&'*+-.^_`|~ are accepted"),
            (!chunk_name, "cookie_name: a name that ends in a dot and a number is a chunk's"),
            (is_attribute(path) && path.starts_with('/'), PATH),
            (domain.as_deref().is_none_or(is_domain), DOMAIN),
            ((1..=MAX_CHUNKS).contains(max_chunks), "cookie.max_chunks: 1 to 16 are accepted"),
            (!has_prefix(name, "__Host-") || (*secure && path == "/" && domain.is_none()), HOST),
            (!has_prefix(name, "__Secure-") || *secure, SECURE),
            (!is_http_only(name) || (*secure && *http_only), HTTP_ONLY),
            (*same_site != SameSite::None || *secure, SAME_SITE),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err(CookieError::new(rule)),
            None => Ok(()),
        }
    }

    /// All attributes but the age, as they stand in a `Set-Cookie` line.
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
        line
    }
}

const PATH: &str =
    "cookie.path: a path from `/` on is accepted, up to 1024 visible characters without `;`";
const DOMAIN: &str = "cookie.domain: a host name is accepted, such as `example.org`";
const HOST: &str = "cookie_name: a name with the prefix `__Host-` is accepted by browsers only with \
                    cookie.secure = true, cookie.path = \"/\" and no cookie.domain; change these or take \
                    another name";
const SECURE: &str = "cookie_name: a name with the prefix `__Secure-` is accepted by browsers only with \
                      cookie.secure = true";
const HTTP_ONLY: &str = "cookie_name: a name with the prefix `__Http-` or `__Host-Http-` is accepted by \
                         browsers only with cookie.secure = true and cookie.http_only = true";
const SAME_SITE: &str =
    "cookie.same_site: `none` is accepted by browsers only with cookie.secure = true";

/// Returns whether browsers refuse a cookie of this name that a script sets
/// (draft-ietf-httpbis-layered-cookies-02).
fn is_http_only(name: &str) -> bool {
    has_prefix(name, "__Http-") || has_prefix(name, "__Host-Http-")
}

/// Browsers compare prefixes without regard to case (RFC 6265bis, 5.7).
pub(super) fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

/// RFC 9110, 5.6.2.
fn is_token(name: &str) -> bool {
    let special = |byte: u8| b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty()
        && name.len() <= 256
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || special(byte))
}

fn is_attribute(value: &str) -> bool {
    value.len() <= 1024 && value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';')
}

fn is_domain(domain: &str) -> bool {
    let host = |byte: u8| byte.is_ascii_alphanumeric() || b".-".contains(&byte);
    !domain.is_empty() && domain.len() <= 253 && domain.bytes().all(host)
}

/// Settings that browsers would refuse. Names them and says what is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CookieError {
    rule: &'static str,
}

impl CookieError {
    pub(crate) fn new(rule: &'static str) -> Self {
        Self { rule }
    }
}

impl fmt::Display for CookieError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule)
    }
}

impl std::error::Error for CookieError {}
