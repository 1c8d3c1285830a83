//! The page that sent a request, by the headers that pages cannot set.

use crate::http::{
    headers::{Headers, Repeated, once},
    origin::Origin,
    site_origins::SiteOrigins,
};
use crate::web::csrf::rejection::CsrfRejection;

/// The sender of a request that its headers do not refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sender {
    /// A page of this site or of a trusted origin, or the visitor.
    Proven,
    /// Unknown, because the client sends neither `Sec-Fetch-Site` nor `Origin`.
    Unknown,
}

/// The origins whose pages may send a request.
pub(super) struct AcceptedOrigins<'a> {
    pub(super) site: &'a SiteOrigins,
    /// The origins that the layer's policy trusts in addition.
    pub(super) trusted: &'a [Origin],
    pub(super) host: Option<&'a str>,
}

impl AcceptedOrigins<'_> {
    fn trust(&self, origin: Option<&Origin>) -> bool {
        origin.is_some_and(|origin| self.trusted.contains(origin) || self.site.trusts(origin))
    }

    /// Returns whether `origin` proves the sender by itself.
    fn accept(&self, origin: Option<&Origin>) -> bool {
        self.trust(origin) || origin.is_some_and(|origin| self.site.is_own(origin, self.host))
    }

    /// Returns whether `origin` can be that of a sender for which the browser says `same-origin` or `none`.
    fn confirm(&self, origin: Option<&Origin>) -> bool {
        self.trust(origin) || self.site.agrees_with(origin)
    }
}

/// The requests from sibling hosts of the same registrable domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum SameSiteRequests {
    #[default]
    Refused,
    Allowed,
}

impl Sender {
    /// Returns the sender of a request with these headers.
    ///
    /// # Errors
    /// If another site sent it, or the headers contradict each other.
    pub(super) fn of(
        headers: &(impl Headers + ?Sized),
        accepted: &AcceptedOrigins<'_>,
        same_site: SameSiteRequests,
    ) -> Result<Self, CsrfRejection> {
        let site = once(headers, "sec-fetch-site")?;
        let origin = once(headers, "origin")?;
        let parsed = origin.and_then(parse);
        let parsed = parsed.as_ref();
        let proven_if = |holds: bool, refusal| holds.then_some(Self::Proven).ok_or(refusal);
        match (site, origin) {
            // With the referrer policy `no-referrer`, browsers send `Origin: null` with forms of this
            // site. They send `cross-site` for a page without an origin, such as a sandboxed one.
            (Some(b"same-origin" | b"none"), None | Some(b"null")) => Ok(Self::Proven),
            (Some(b"same-origin" | b"none"), Some(_)) => {
                proven_if(accepted.confirm(parsed), CsrfRejection::Contradiction)
            }
            (Some(b"same-site"), _) => {
                let is_allowed = same_site == SameSiteRequests::Allowed;
                proven_if(is_allowed || accepted.trust(parsed), CsrfRejection::SameSite)
            }
            (Some(b"cross-site"), _) => proven_if(accepted.trust(parsed), CsrfRejection::CrossSite),
            // The specification has servers ignore unknown values (Fetch Metadata, 2.3).
            (_, Some(_)) => proven_if(accepted.accept(parsed), CsrfRejection::ForeignOrigin),
            (_, None) => match once(headers, "referer")? {
                // A `Referer` can refuse a request. It proves no sender, because only old browsers send it
                // alone, and their plug-ins could change it.
                Some(url) if !accepted.accept(of_url(url).as_ref()) => {
                    Err(CsrfRejection::ForeignOrigin)
                }
                _ => Ok(Self::Unknown),
            },
        }
    }
}

fn parse(value: &[u8]) -> Option<Origin> {
    Origin::parse(std::str::from_utf8(value).ok()?)
}

fn of_url(value: &[u8]) -> Option<Origin> {
    Origin::split(std::str::from_utf8(value).ok()?).map(|(origin, _)| origin)
}

impl From<Repeated> for CsrfRejection {
    fn from(_: Repeated) -> Self {
        Self::RepeatedHeader
    }
}
