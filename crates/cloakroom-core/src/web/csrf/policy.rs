//! What is refused, what needs a token, what passes.

use std::fmt;

use crate::{form::DEFAULT_BODY_LIMIT, http::headers::Headers};
use crate::{
    http::site_scheme::SiteScheme,
    web::csrf::origin::{Origin, OriginError},
};

/// What a CSRF layer lets through. The default is the strictest.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::csrf::CsrfPolicy;
///
/// let policy = CsrfPolicy::default().trust_origin("https://admin.example.org")?;
/// assert!(CsrfPolicy::default().trust_origin("admin.example.org").is_err(), "the scheme counts");
/// # Ok::<(), cloakroom::csrf::OriginError>(())
/// ```
#[derive(Clone, Debug)]
pub struct CsrfPolicy {
    trusted: Vec<Origin>,
    same_site: SameSiteRequests,
    mode: Mode,
    form_limit: usize,
}

impl Default for CsrfPolicy {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            same_site: SameSiteRequests::default(),
            mode: Mode::default(),
            form_limit: DEFAULT_BODY_LIMIT,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum SameSiteRequests {
    #[default]
    Refused,
    Allowed,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mode {
    #[default]
    Enforce,
    LogOnly,
}

/// What a request's method and headers come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing to check.
    Pass,
    /// The visitor's session has to know this token; where there is none, the form may have it.
    NeedsToken(Option<String>),
    /// Another site sent it.
    Refused(CsrfRejection),
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CsrfRejection {
    /// `Sec-Fetch-Site` says that another site sent it.
    CrossSite,
    /// `Sec-Fetch-Site` says that a sibling host sent it.
    SameSite,
    /// `Origin` or `Referer` is not this site.
    ForeignOrigin,
    /// The request's cookie names no session, so no token can belong to it.
    NoSession,
    /// There is no token.
    MissingToken,
    /// The token is not one of this session.
    BadToken,
}

impl CsrfPolicy {
    /// Lets forms of `origin` through the first checks. They need a token of the session all the same.
    ///
    /// # Errors
    /// When `origin` is not scheme, host and perhaps port.
    pub fn trust_origin(mut self, origin: &str) -> Result<Self, OriginError> {
        let parsed = Origin::parse(origin);
        self.trusted.push(parsed.ok_or_else(|| OriginError { given: origin.to_owned() })?);
        Ok(self)
    }

    /// Lets sibling hosts of the same registrable domain through the first checks.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// let policy = cloakroom::csrf::CsrfPolicy::default().allow_same_site();
    /// ```
    #[must_use]
    pub fn allow_same_site(mut self) -> Self {
        self.same_site = SameSiteRequests::Allowed;
        self
    }

    /// Logs what would be refused and lets it pass, to try the policy out on live traffic. A form
    /// whose length is not in its headers passes without a check, because it may be too long to be
    /// kept until the handler reads it. So does a request whose session cannot be loaded.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// assert!(!cloakroom::csrf::CsrfPolicy::default().log_only().enforces());
    /// ```
    #[must_use]
    pub fn log_only(mut self) -> Self {
        self.mode = Mode::LogOnly;
        self
    }

    /// Sets how many bytes of a form are read to find its token. A longer form without the token in
    /// a header is refused with status 413. Default: 2,097,152 (2 MiB). With a higher limit, each
    /// request that has a session can take that much memory before its handler runs. Large uploads
    /// can send the token in the header `X-CSRF-Token` instead; their bodies are not read.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// let policy = cloakroom::csrf::CsrfPolicy::default().limit_form(64 * 1024);
    /// assert_eq!(policy.form_limit(), 65_536);
    /// ```
    #[must_use]
    pub fn limit_form(mut self, bytes: usize) -> Self {
        self.form_limit = bytes;
        self
    }

    /// Returns how many bytes of a form are read to find its token.
    pub fn form_limit(&self) -> usize {
        self.form_limit
    }

    /// Whether refused requests are refused, and not only logged.
    pub fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Judges a request by its method and headers. `authority` is the host that HTTP/2 has in place
    /// of the `Host` header.
    ///
    /// A WebSocket handshake is judged like a request of an unsafe method and needs no token, because
    /// browsers let no page add a header to it: a `GET` with `Upgrade: websocket` (RFC 6455, 4.1), or
    /// a `CONNECT` (RFC 8441), which no page can send otherwise.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::csrf::{CsrfPolicy, CsrfRejection, SiteScheme, Verdict};
    ///
    /// let policy = CsrfPolicy::default();
    /// let forged: &[(&str, &str)] = &[("sec-fetch-site", "cross-site")];
    /// let verdict = policy.check("POST", forged, None, SiteScheme::Https);
    /// assert_eq!(verdict, Verdict::Refused(CsrfRejection::CrossSite));
    /// assert_eq!(policy.check("GET", forged, None, SiteScheme::Https), Verdict::Pass);
    /// ```
    pub fn check(
        &self,
        method: &str,
        headers: &(impl Headers + ?Sized),
        authority: Option<&str>,
        transport: SiteScheme,
    ) -> Verdict {
        let is_handshake = method == "CONNECT" || (method == "GET" && asks_for_websocket(headers));
        if matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE") && !is_handshake {
            return Verdict::Pass;
        }
        let host = headers.text("host").or(authority);
        match self.foreign(headers, host, transport) {
            Some(refusal) => Verdict::Refused(refusal),
            None if is_handshake => Verdict::Pass,
            None => Verdict::NeedsToken(token_in(headers)),
        }
    }

    fn foreign(
        &self,
        headers: &(impl Headers + ?Sized),
        host: Option<&str>,
        transport: SiteScheme,
    ) -> Option<CsrfRejection> {
        let origin = headers.text("origin");
        let trusted =
            || origin.and_then(Origin::parse).is_some_and(|it| self.trusted.contains(&it));
        match headers.text("sec-fetch-site") {
            Some("same-origin" | "none") => None,
            Some("same-site") if self.same_site == SameSiteRequests::Allowed => None,
            Some("same-site") => (!trusted()).then_some(CsrfRejection::SameSite),
            Some("cross-site") => (!trusted()).then_some(CsrfRejection::CrossSite),
            Some(_) | None => {
                let sender = match origin {
                    Some(origin) => Origin::parse(origin),
                    None => Origin::of_url(headers.text("referer")?),
                };
                let at_home = |sender: Origin| {
                    self.trusted.contains(&sender)
                        || host.is_some_and(|host| sender.is_site(host, transport))
                };
                (!sender.is_some_and(at_home)).then_some(CsrfRejection::ForeignOrigin)
            }
        }
    }
}

/// Whether `Upgrade` (RFC 9110, 7.8) names WebSockets. As lenient as the most lenient server library,
/// which looks for the word anywhere.
pub(crate) fn asks_for_websocket(headers: &(impl Headers + ?Sized)) -> bool {
    let names_it =
        |value: &[u8]| value.to_ascii_lowercase().windows(9).any(|word| word == b"websocket");
    headers.all("upgrade").any(names_it)
}

fn token_in(headers: &(impl Headers + ?Sized)) -> Option<String> {
    let sent = headers.text("x-csrf-token").or_else(|| headers.text("x-xsrf-token"));
    sent.map(ToOwned::to_owned)
}

impl CsrfRejection {
    /// What the answer to a refused request varies with.
    pub const VARY: &str = "Sec-Fetch-Site, Origin, Accept";

    /// One stable word, for logs and metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Self::CrossSite => "cross_site",
            Self::SameSite => "same_site",
            Self::ForeignOrigin => "origin",
            Self::NoSession => "no_session",
            Self::MissingToken => "missing_token",
            Self::BadToken => "bad_token",
        }
    }
}

impl fmt::Display for CsrfRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CrossSite | Self::SameSite | Self::ForeignOrigin => {
                "this request comes from another site; send it from a page of this one"
            }
            Self::NoSession => {
                "this request has no session that lasts; allow cookies, load the page again and send its \
                 form"
            }
            Self::MissingToken => {
                "this request has no CSRF token; send the one of this site's page in the form field \
                 `_csrf` or the header `X-CSRF-Token`"
            }
            Self::BadToken => {
                "the CSRF token is not one of your session; load the page again and send its form"
            }
        })
    }
}
