//! The reasons why requests are refused.

use std::fmt;

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
    /// `Sec-Fetch-Site` says that no other site sent the request, and `Origin` is another site.
    Contradiction,
    /// The request has `Sec-Fetch-Site`, `Origin` or `Referer` more than once.
    RepeatedHeader,
    /// The request's cookie identifies no session, so it cannot have a token.
    NoSession,
    /// The request has no token.
    MissingToken,
    /// The token does not belong to the request's session.
    BadToken,
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
            Self::Contradiction => "contradiction",
            Self::RepeatedHeader => "repeated_header",
            Self::NoSession => "no_session",
            Self::MissingToken => "missing_token",
            Self::BadToken => "bad_token",
        }
    }

    /// Returns the sentence for developers: which header was refused, and which setting accepts it.
    ///
    /// The log has it, and in development (`show_errors`) the response as well.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// let explanation = cloakroom::csrf::CsrfRejection::Contradiction.explanation();
    /// assert!(explanation.contains("`public_origin`"));
    /// ```
    pub fn explanation(self) -> &'static str {
        match self {
            Self::CrossSite => {
                "`Sec-Fetch-Site` is `cross-site`; accepted are `same-origin`, `none`, and an `Origin` \
                 that `trusted_origins` names"
            }
            Self::SameSite => {
                "`Sec-Fetch-Site` is `same-site`; accepted are `same-origin`, `none`, and an `Origin` \
                 that `trusted_origins` names, or every host of the domain with `allow_same_site`"
            }
            Self::ForeignOrigin => {
                "`Origin`, or `Referer` without it, is neither this site nor in `trusted_origins`; this \
                 site is the `Host` of the request, or `public_origin` if a proxy changes `Host`"
            }
            Self::Contradiction => {
                "`Sec-Fetch-Site` is `same-origin` or `none`, and `Origin` is neither `public_origin` nor in \
                 `trusted_origins`"
            }
            Self::RepeatedHeader => {
                "`Sec-Fetch-Site`, `Origin` or `Referer` is there more than once; browsers send each once"
            }
            Self::NoSession => {
                "the cookie of the request leads to no session, and neither `Sec-Fetch-Site` nor `Origin` \
                 proves the sender to this policy"
            }
            Self::MissingToken => {
                "the header `X-CSRF-Token` and the form field `_csrf` are missing, and neither \
                 `Sec-Fetch-Site` nor `Origin` proves the sender to this policy"
            }
            Self::BadToken => {
                "the token belongs to another session, or to this one before `regenerate`"
            }
        }
    }
}

impl fmt::Display for CsrfRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CrossSite | Self::SameSite | Self::ForeignOrigin => {
                "this request comes from another site; send it from a page of this one"
            }
            Self::Contradiction | Self::RepeatedHeader => {
                "the headers of this request contradict each other about the page that sent it; send it \
                 from a page of this site"
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
