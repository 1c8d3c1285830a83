//! The rules by which requests are refused, need a token, or pass.

use std::fmt;

use crate::{
    form::DEFAULT_BODY_LIMIT,
    http::{
        headers::Headers,
        origin::{Origin, OriginError},
        site_origins::SiteOrigins,
    },
};

/// The settings of a CSRF layer. The default is the strictest.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::csrf::CsrfPolicy;
///
/// let policy = CsrfPolicy::default().trust_origin("https://admin.example.org")?;
/// assert!(CsrfPolicy::default().trust_origin("admin.example.org").is_err(), "the scheme counts");
/// # Ok::<(), cloakroom::OriginError>(())
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

/// The result of checking a request's method and headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The request passes without a token.
    Pass,
    /// The request needs a token of the visitor's session. Holds the token of the header. Without one,
    /// the token has to be in the form.
    NeedsToken(Option<String>),
    /// The request is refused, because another site sent it.
    Refused(CsrfRejection),
}

/// The reason why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CsrfRejection {
    /// `Sec-Fetch-Site` says that another site sent the request.
    CrossSite,
    /// `Sec-Fetch-Site` says that a sibling host sent the request.
    SameSite,
    /// `Origin` or `Referer` is not this site.
    ForeignOrigin,
    /// The request's cookie identifies no session, so it cannot have a token.
    NoSession,
    /// The request has no token.
    MissingToken,
    /// The token does not belong to the request's session.
    BadToken,
}

impl CsrfPolicy {
    /// Accepts requests from pages of `origin` in rules 2 and 3, for the routes of this layer. They still need
    /// a token of the session. Default: only pages of this site and of the setting
    /// [`trusted_origins`](crate::SessionsBuilder::trusted_origins), which redirects use as well.
    ///
    /// # Errors
    /// When `origin` is not a scheme and a host, optionally with a port.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::csrf::CsrfPolicy;
    /// let policy = CsrfPolicy::default().trust_origin("https://admin.example.org:8443")?;
    /// # Ok::<(), cloakroom::OriginError>(())
    /// ```
    pub fn trust_origin(mut self, origin: &str) -> Result<Self, OriginError> {
        self.trusted.push(origin.parse()?);
        Ok(self)
    }

    /// Accepts requests from sibling hosts of the same registrable domain in rule 2. They still need a
    /// token of the session. Default: refused.
    ///
    /// # Security
    /// Use it only if you control all hosts of the domain.
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

    /// Logs requests that would be refused, and lets them pass. Use it to try the policy out on live
    /// traffic.
    ///
    /// A form without a length in its headers passes without a check, because it may be too long to
    /// keep in memory for the handler. A request whose session cannot be loaded passes as well.
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

    /// Sets how many bytes of a form are read to find its token. Default: 2,097,152 (2 MiB).
    ///
    /// A longer form without the token in a header is refused with status 413. With a higher limit, each
    /// request that has a session can take that much memory before its handler runs. Send the token of
    /// large uploads in the header `X-CSRF-Token` instead, because their bodies are then not read.
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
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// assert_eq!(cloakroom::csrf::CsrfPolicy::default().form_limit(), 2_097_152);
    /// ```
    pub fn form_limit(&self) -> usize {
        self.form_limit
    }

    /// Returns `false` in [log-only mode](Self::log_only).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// assert!(cloakroom::csrf::CsrfPolicy::default().enforces());
    /// ```
    pub fn enforces(&self) -> bool {
        self.mode == Mode::Enforce
    }

    /// Checks a request by its method and headers. `authority` is the host of an HTTP/2 request, which
    /// has no `Host` header. `origins` are those of [`Sessions::origins`](crate::Sessions::origins).
    ///
    /// A WebSocket handshake is checked by its origin and needs no token, because pages cannot add
    /// headers to it. A handshake is a `GET` with `Upgrade: websocket` (RFC 6455, 4.1), or a `CONNECT`
    /// (RFC 8441), which pages send for nothing else.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{SiteOrigins, csrf::{CsrfPolicy, CsrfRejection, Verdict}};
    ///
    /// let (policy, origins) = (CsrfPolicy::default(), SiteOrigins::default());
    /// let forged: &[(&str, &str)] = &[("sec-fetch-site", "cross-site")];
    /// let verdict = policy.check("POST", forged, None, &origins);
    /// assert_eq!(verdict, Verdict::Refused(CsrfRejection::CrossSite));
    /// assert_eq!(policy.check("GET", forged, None, &origins), Verdict::Pass);
    /// ```
    pub fn check(
        &self,
        method: &str,
        headers: &(impl Headers + ?Sized),
        authority: Option<&str>,
        origins: &SiteOrigins,
    ) -> Verdict {
        let is_handshake = method == "CONNECT" || (method == "GET" && asks_for_websocket(headers));
        if matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE") && !is_handshake {
            return Verdict::Pass;
        }
        let host = headers.text("host").or(authority);
        match self.foreign(headers, host, origins) {
            Some(refusal) => Verdict::Refused(refusal),
            None if is_handshake => Verdict::Pass,
            None => Verdict::NeedsToken(token_in(headers)),
        }
    }

    fn foreign(
        &self,
        headers: &(impl Headers + ?Sized),
        host: Option<&str>,
        origins: &SiteOrigins,
    ) -> Option<CsrfRejection> {
        // A value that is not text is foreign, and not a missing one.
        let origin = headers.all("origin").next().map(text);
        let trusts = |sender: &Origin| self.trusted.contains(sender) || origins.trusts(sender);
        let trusted = || origin.and_then(Origin::parse).is_some_and(|sender| trusts(&sender));
        match headers.text("sec-fetch-site") {
            Some("same-origin" | "none") => None,
            Some("same-site") if self.same_site == SameSiteRequests::Allowed => None,
            Some("same-site") => (!trusted()).then_some(CsrfRejection::SameSite),
            Some("cross-site") => (!trusted()).then_some(CsrfRejection::CrossSite),
            Some(_) | None => {
                let sender = match origin {
                    Some(origin) => Origin::parse(origin),
                    None => Origin::split(headers.text("referer")?).map(|(origin, _)| origin),
                };
                let is_accepted = |sender: Origin| trusts(&sender) || origins.is_own(&sender, host);
                (!sender.is_some_and(is_accepted)).then_some(CsrfRejection::ForeignOrigin)
            }
        }
    }
}

fn text(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or_default()
}

/// Returns whether `Upgrade` (RFC 9110, 7.8) contains the word `websocket`. Some server libraries accept
/// the word anywhere in the value, so a stricter check here would miss their handshakes.
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
    /// The value of the `Vary` header of the response to a refused request.
    pub const VARY: &str = "Sec-Fetch-Site, Origin, Accept";

    /// Returns a stable word for logs and metrics.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// assert_eq!(cloakroom::csrf::CsrfRejection::BadToken.reason(), "bad_token");
    /// ```
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
