//! The layer that refuses forged requests.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum_core::{
    body::Body,
    extract::{FromRequest, Request},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use cloakroom::{
    csrf::{CsrfPolicy, Denied, Refusal},
    form::FormInput,
};
use http::{HeaderValue, StatusCode, header::VARY, request::Parts};
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    extract::visits,
    headers::RequestHeaders,
    input::content_type,
    rejection::{SessionRejection, plain},
};

/// Refuses requests that another site made the visitor's browser send, before any handler runs.
///
/// What it checks is in [`cloakroom::csrf`]. Put it inside the session layer:
///
/// ```
/// use axum::{Router, routing::{get, post}};
/// use cloakroom_axum::{AppKeys, CsrfLayer, Session, SessionLayer, Sessions, View};
///
/// let sessions = Sessions::cookie(AppKeys::random()).build()?;
/// let app: Router = Router::new()
///     .route("/transfer", get(async |view: View| view.csrf_field()))
///     .route("/transfer", post(async || "done"))
///     .layer(CsrfLayer::default())
///     .layer(SessionLayer::new(sessions));
/// # Ok::<(), cloakroom_axum::cookie::CookieError>(())
/// ```
///
/// To find the token in a form the layer reads the body, which may have 2 MiB or what
/// [`DefaultBodyLimit`](axum_core::extract::DefaultBodyLimit) says; a larger upload is let through
/// with the token in the header `X-CSRF-Token`, unread.
#[derive(Clone, Debug, Default)]
pub struct CsrfLayer {
    policy: CsrfPolicy,
}

impl CsrfLayer {
    /// A layer with this policy.
    #[must_use]
    pub fn new(policy: CsrfPolicy) -> Self {
        Self { policy }
    }
}

impl<S> Layer<S> for CsrfLayer {
    type Service = CsrfService<S>;

    fn layer(&self, inner: S) -> CsrfService<S> {
        CsrfService { policy: self.policy.clone(), inner }
    }
}

/// The service that [`CsrfLayer`] makes.
#[derive(Clone, Debug)]
pub struct CsrfService<S> {
    policy: CsrfPolicy,
    inner: S,
}

impl<S> Service<Request> for CsrfService<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let policy = self.policy.clone();
        // The service that is ready is the one that is called; the clone takes its place.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            match admit(&policy, request).await {
                Ok(request) => inner.call(request).await,
                Err(response) => Ok(response),
            }
        })
    }
}

/// The request as it came, or the answer that refuses it.
async fn admit(policy: &CsrfPolicy, request: Request) -> Result<Request, Response> {
    let visits = visits(request.extensions()).map_err(IntoResponse::into_response)?.clone();
    let (parts, mut body) = request.into_parts();
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let headers = RequestHeaders(&parts.headers);
    let capture_form = async {
        let whole = read(&parts, std::mem::take(&mut body)).await?;
        if let Ok(input) = FormInput::parse(content_type(&parts), whole.clone()).await {
            visits.innermost().capture(input);
        }
        body = Body::from(whole);
        Ok(())
    };
    let method = parts.method.as_str();
    match policy.admit(method, &headers, authority, &visits, capture_form).await {
        Ok(()) => Ok(Request::from_parts(parts, body)),
        Err(Denied::Unreadable(response)) => Err(response),
        Err(Denied::NotLoaded(error)) => Err(SessionRejection::not_loaded(error).into_response()),
        Err(Denied::Forged(refusal)) => {
            let mut response = plain(StatusCode::FORBIDDEN, refusal.to_string());
            response.headers_mut().insert(VARY, HeaderValue::from_static(Refusal::VARY));
            Err(response)
        }
    }
}

/// The whole body, within the limit that is set for extractors.
async fn read(parts: &Parts, body: Body) -> Result<Bytes, Response> {
    let limited = Request::from_parts(parts.clone(), body);
    Bytes::from_request(limited, &()).await.map_err(IntoResponse::into_response)
}
