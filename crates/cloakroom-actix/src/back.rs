//! Back to where the visitor came from.

use std::{
    convert::Infallible,
    future::{Ready, ready},
};

use actix_web::{
    FromRequest, HttpRequest, HttpResponse,
    dev::Payload,
    http::{
        header::{HeaderValue, LOCATION},
        uri::Authority,
    },
};
use cloakroom::redirect;

use crate::headers::RequestHeaders;

/// Redirects to the page that the request came from, if that page is of this site. See
/// [`redirect::Back`].
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
pub struct Back(redirect::Back);

impl Back {
    /// A redirect (303) to where the visitor came from, or to the path `fallback`.
    pub fn or(&self, fallback: &str) -> HttpResponse {
        see_other(&self.0.target(fallback))
    }

    pub(crate) fn of(request: &HttpRequest) -> redirect::Back {
        let authority = request.uri().authority().map(Authority::as_str);
        redirect::Back::of(&RequestHeaders(request.headers()), authority)
    }
}

pub(crate) fn see_other(target: &str) -> HttpResponse {
    let location = HeaderValue::try_from(target).unwrap_or(HeaderValue::from_static("/"));
    HttpResponse::SeeOther().insert_header((LOCATION, location)).finish()
}

impl FromRequest for Back {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self(Self::of(request))))
    }
}
