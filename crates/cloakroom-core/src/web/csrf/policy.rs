//! The rules by which requests are refused, need a token, or pass.

use crate::web::csrf::{
    rejection::CsrfRejection,
    sender::{AcceptedOrigins, SameSiteRequests, Sender},
};
use crate::{
    form::{ContentType, DEFAULT_BODY_LIMIT},
    http::{
        headers::{Headers, once},
        origin::{Origin, OriginError},
        site_origins::SiteOrigins,
    },
};

/// The settings of a CSRF layer: the requests that need a token, and the sites that may send requests.
///
/// | policy | `Sec-Fetch-Site` or `Origin` proves the sender | neither header is there |
/// |---|---|---|
/// | [`default`](Self::default) | forms need a token; requests that no HTML form can send need none | a token |
/// | [`fetch_metadata`](Self::fetch_metadata) | no token | a token |
/// | [`strict`](Self::strict) | a token | a token |
///
/// A request that the headers show to be another site's is refused in all three. The page of the module
/// [`csrf`](crate::csrf) has the rules.
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
    token: TokenRule,
    trusted: Vec<Origin>,
    same_site: SameSiteRequests,
    mode: Mode,
    form_limit: usize,
}

/// Needs a token of every request that an HTML form can send: those with the content types
/// `application/x-www-form-urlencoded`, `multipart/form-data` and `text/plain`, and those without a content
/// type. Other content types, such as JSON, need none if `Sec-Fetch-Site` or `Origin` proves the sender.
impl Default for CsrfPolicy {
    fn default() -> Self {
        Self {
            token: TokenRule::default(),
            trusted: Vec::new(),
            same_site: SameSiteRequests::default(),
            mode: Mode::default(),
            form_limit: DEFAULT_BODY_LIMIT,
        }
    }
}

/// The requests that need a token although their headers prove the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum TokenRule {
    /// None.
    None,
    /// Those that an HTML form can send.
    #[default]
    Forms,
    /// All.
    All,
}

impl TokenRule {
    fn applies_to(self, headers: &(impl Headers + ?Sized)) -> bool {
        match self {
            Self::None => false,
            Self::Forms => ContentType::can_come_from_a_form(headers),
            Self::All => true,
        }
    }
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

impl CsrfPolicy {
    /// Makes a policy by Fetch Metadata: a request passes without a token if `Sec-Fetch-Site`, or `Origin`
    /// without it, proves that this site or a trusted origin sent it. A request with neither header needs a
    /// token.
    ///
    /// Use it for routes whose clients send no token, such as server functions. All browsers send
    /// `Sec-Fetch-Site` over https since 2023, and `Origin` with a `POST` since 2020. `CrossOriginProtection`
    /// of Go 1.25, `:header_only` of Rails and Laravel 13 check the same headers.
    ///
    /// # Security
    /// A trusted origin, and each sibling host with [`allow_same_site`](Self::allow_same_site), can then send
    /// any request in the visitor's name.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{SiteOrigins, csrf::{CsrfPolicy, Verdict}};
    ///
    /// let form = [("sec-fetch-site", "same-origin")];
    /// let check = |policy: CsrfPolicy| policy.check("POST", &form[..], None, &SiteOrigins::default());
    /// assert_eq!(check(CsrfPolicy::fetch_metadata()), Verdict::Pass);
    /// assert_eq!(check(CsrfPolicy::default()), Verdict::NeedsToken(None));
    /// ```
    #[must_use]
    pub fn fetch_metadata() -> Self {
        Self { token: TokenRule::None, ..Self::default() }
    }

    /// Makes a policy that needs a token of every request, whatever its content type and headers are.
    ///
    /// Use it for defence in depth: it needs a second proof beside the headers, also from trusted origins.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{SiteOrigins, csrf::{CsrfPolicy, Verdict}};
    ///
    /// let json = [("sec-fetch-site", "same-origin"), ("content-type", "application/json")];
    /// let check = |policy: CsrfPolicy| policy.check("POST", &json[..], None, &SiteOrigins::default());
    /// assert_eq!(check(CsrfPolicy::default()), Verdict::Pass);
    /// assert_eq!(check(CsrfPolicy::strict()), Verdict::NeedsToken(None));
    /// ```
    #[must_use]
    pub fn strict() -> Self {
        Self { token: TokenRule::All, ..Self::default() }
    }

    /// Accepts requests from pages of `origin` in rules 2 and 3, for the routes of this layer. Rule 4 decides
    /// whether they need a token. Default: only pages of this site and of the setting
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

    /// Accepts requests from sibling hosts of the same registrable domain in rule 2. Rule 4 decides whether
    /// they need a token. Default: refused.
    ///
    /// # Security
    /// Use it only if you control all hosts of the domain. With [`fetch_metadata`](Self::fetch_metadata), a
    /// page of each of them can send any request in the visitor's name.
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
        let host = host(headers, authority);
        let accepted = AcceptedOrigins { site: origins, trusted: &self.trusted, host };
        match Sender::of(headers, &accepted, self.same_site) {
            Err(refusal) => Verdict::Refused(refusal),
            Ok(_) if is_handshake => Verdict::Pass,
            Ok(Sender::Proven) if !self.token.applies_to(headers) => Verdict::Pass,
            Ok(_) => Verdict::NeedsToken(token_in(headers)),
        }
    }
}

/// Returns the host of a request, unless it names several.
fn host<'a>(headers: &'a (impl Headers + ?Sized), authority: Option<&'a str>) -> Option<&'a str> {
    let host = once(headers, "host").ok()?;
    host.map_or(authority, |host| std::str::from_utf8(host).ok())
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
