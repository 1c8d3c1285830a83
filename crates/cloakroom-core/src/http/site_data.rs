//! The data of a site that browsers remove at a sign-out.

/// Data of a site that the browser removes when its visitor signs out (Clear Site Data, W3C; OWASP ASVS
/// 5.0, 14.3.1). For [`SessionsBuilder::clear_site_data`](crate::SessionsBuilder::clear_site_data).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SiteData {
    /// Cached responses of the origin. Some browsers take seconds to remove them.
    Cache,
    /// All cookies of the registrable domain, also those of other hosts and applications. Left
    /// out of a response that sets the session cookie, as at a sign-in after the sign-out.
    Cookies,
    /// Everything that scripts of the origin have stored: `localStorage`, `IndexedDB`, service workers.
    Storage,
    /// All of these, and what later versions of the standard add (`"*"`).
    All,
}

impl SiteData {
    /// Returns the directive of the header `Clear-Site-Data`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// assert_eq!(cloakroom::SiteData::All.directive(), "*");
    /// ```
    pub fn directive(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Cookies => "cookies",
            Self::Storage => "storage",
            Self::All => "*",
        }
    }

    /// Leaves the cookies out, for a response that sets one.
    pub(crate) fn without_cookies(data: &[Self]) -> Vec<Self> {
        let kept = |data: &Self| match data {
            Self::All => vec![Self::Cache, Self::Storage],
            Self::Cookies => Vec::new(),
            Self::Cache | Self::Storage => vec![*data],
        };
        data.iter().flat_map(kept).collect()
    }

    /// Returns the value of the header. Returns `None` if there is nothing to clear.
    pub(crate) fn header(data: &[Self]) -> Option<String> {
        let directives: Vec<_> =
            data.iter().map(|data| format!("\"{}\"", data.directive())).collect();
        (!directives.is_empty()).then(|| directives.join(", "))
    }
}
