//! Back to where the visitor came from.

use std::convert::Infallible;

use axum_core::{extract::FromRequestParts, response::IntoResponse};
use cloakroom::redirect;
use http::{request::Parts, uri::Authority};

use crate::{headers::RequestHeaders, rejection::see_other};

/// Redirects to the page that the request came from, if that page is of this site. See
/// [`redirect::Back`].
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
pub struct Back(redirect::Back);

impl Back {
    /// A redirect (303) to where the visitor came from, or to the path `fallback`.
    pub fn or(&self, fallback: &str) -> impl IntoResponse + use<> {
        see_other(&self.0.target(fallback))
    }

    pub(crate) fn of(parts: &Parts) -> redirect::Back {
        let authority = parts.uri.authority().map(Authority::as_str);
        redirect::Back::of(&RequestHeaders(&parts.headers), authority)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Back {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(Self::of(parts)))
    }
}
