//! Back to where the visitor came from.

use std::convert::Infallible;

use axum_core::{
    extract::FromRequestParts,
    response::{IntoResponse, Response},
};
use cloakroom::redirect;
use http::{
    HeaderValue, StatusCode,
    header::{HOST, LOCATION, REFERER},
    request::Parts,
};

/// Redirects to the page that the request came from, if that page is of this site.
///
/// The `Referer` is the visitor's word, so only its path is used, and only where its host is the
/// request's; anything else leads to the fallback (CVE-2026-40295 and its kin).
///
/// ```
/// use axum::response::IntoResponse;
/// use cloakroom_axum::Back;
///
/// async fn save(back: Back) -> impl IntoResponse {
///     back.or("/")
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Back {
    referer: Option<String>,
    host: Option<String>,
}

impl Back {
    /// A redirect (303) to where the visitor came from, or to the path `fallback`.
    pub fn or(&self, fallback: &str) -> impl IntoResponse + use<> {
        see_other(&redirect::back(self.referer.as_deref(), self.host.as_deref(), fallback))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Back {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

impl Back {
    pub(crate) fn of(parts: &Parts) -> Self {
        let header = |name| parts.headers.get(name).and_then(|value| value.to_str().ok());
        // HTTP/2 has the host in the request's URI.
        let authority = parts.uri.authority().map(http::uri::Authority::as_str);
        Self {
            referer: header(REFERER).map(ToOwned::to_owned),
            host: header(HOST).or(authority).map(ToOwned::to_owned),
        }
    }
}

/// `303 See Other`: the browser follows with a GET whatever the method was.
fn see_other(target: &str) -> Response {
    let location = HeaderValue::try_from(target).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}
