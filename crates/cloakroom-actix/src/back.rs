//! Back to where the visitor came from.

use std::{
    convert::Infallible,
    future::{Ready, ready},
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        header::{HOST, HeaderValue, LOCATION, REFERER},
        uri::Authority,
    },
};
use cloakroom::redirect;

/// Redirects to the page that the request came from, if that page is of this site.
///
/// The `Referer` is the visitor's word, so only its path is used, and only where its host is the
/// request's; anything else leads to the fallback (CVE-2026-40295 and its kin).
///
/// ```
/// use actix_web::HttpResponse;
/// use cloakroom_actix::Back;
///
/// async fn save(back: Back) -> HttpResponse {
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
    pub fn or(&self, fallback: &str) -> HttpResponse {
        let target = redirect::back(self.referer.as_deref(), self.host.as_deref(), fallback);
        let location = HeaderValue::try_from(target).unwrap_or(HeaderValue::from_static("/"));
        HttpResponse::SeeOther().insert_header((LOCATION, location)).finish()
    }
}

impl FromRequest for Back {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

impl Back {
    pub(crate) fn of(request: &HttpRequest) -> Self {
        let header = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        // HTTP/2 has the host in the request's URI.
        let host = header(HOST).or(request.uri().authority().map(Authority::as_str));
        Self { referer: header(REFERER).map(ToOwned::to_owned), host: host.map(ToOwned::to_owned) }
    }
}
