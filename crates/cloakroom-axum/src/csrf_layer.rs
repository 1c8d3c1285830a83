//! The layer that refuses forged requests.

use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    task::{Context, Poll},
};

use axum_core::{body::Body, extract::Request, response::Response};
use bytes::Bytes;
use cloakroom_core::{
    adapter::{
        BodyError, Problem,
        axum::{context_stack, respond},
    },
    csrf::CsrfPolicy,
};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tower_layer::Layer;
use tower_service::Service;

/// Refuses forged requests (CSRF), which another site makes the visitor's browser send, before any handler
/// runs.
///
/// The checks are described in [`cloakroom_core::csrf`]. Put it inside the session layer:
///
/// ```
/// # mod cloakroom { pub use cloakroom_core::*; pub mod axum { pub use cloakroom_axum::*; } }
/// use axum::{Router, routing::{get, post}};
/// use cloakroom::{axum::{CsrfLayer, SessionLayer}, AppKeys, Session, Driver, Sessions, View};
///
/// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).build()?;
/// let app: Router = Router::new()
///     .route("/transfer", get(async |view: View| view.csrf_field()))
///     .route("/transfer", post(async || "done"))
///     .layer(CsrfLayer::default())
///     .layer(SessionLayer::new(sessions));
/// # Ok::<(), cloakroom::ConfigError>(())
/// ```
///
/// If the token is in a form, the layer reads up to 2 MiB of the body, and only for a visitor who has a
/// session. [`CsrfPolicy::limit_form`] sets the limit. Send the token of larger uploads in the header
/// `X-CSRF-Token`, because their bodies are then not read.
/// [`DefaultBodyLimit`](axum_core::extract::DefaultBodyLimit) applies to extractors only.
///
/// [`CsrfPolicy`] sets which requests need a token. Routes whose clients send none, such as server functions,
/// go by Fetch Metadata:
///
/// ```
/// # mod cloakroom { pub use cloakroom_core::*; pub mod axum { pub use cloakroom_axum::*; } }
/// use cloakroom::{axum::CsrfLayer, csrf::CsrfPolicy};
///
/// let layer = CsrfLayer::new(CsrfPolicy::fetch_metadata());
/// ```
///
/// [`SessionLayer::on_failure`](crate::SessionLayer::on_failure) replaces the response to a refused
/// request.
#[derive(Clone, Debug, Default)]
pub struct CsrfLayer {
    policy: CsrfPolicy,
}

impl CsrfLayer {
    /// Makes a layer with this policy.
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
        // `poll_ready` was called on this service and not on its clone, so this one is called.
        let fresh = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            match verify(&policy, request).await {
                Ok(request) => inner.call(request).await,
                Err(response) => Ok(response),
            }
        })
    }
}

/// Checks a request and returns it as it came.
///
/// # Errors
/// When the request is refused. The error is the response.
async fn verify(policy: &CsrfPolicy, request: Request) -> Result<Request, Response> {
    let stack = context_stack(request.extensions(), request.headers());
    let stack = stack.map_err(respond)?.clone();
    let (parts, mut body) = request.into_parts();
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    let (method, headers) = (parts.method.as_str(), &parts.headers);
    let reading = async {
        let whole = read(std::mem::take(&mut body), policy.form_limit()).await?;
        body = Body::from(whole.clone());
        Ok(whole)
    };
    match policy.verify_request(method, headers, authority, &stack, reading).await {
        Ok(()) => Ok(Request::from_parts(parts, body)),
        Err(failure) => Err(respond(Problem::of_request(failure, headers))),
    }
}

/// Reads the whole body without decompressing it. Fails if it has more than `limit` bytes.
async fn read(body: Body, limit: usize) -> Result<Bytes, BodyError> {
    match Limited::new(body, limit).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if is_about_length(&*error) => Err(BodyError::TooLarge),
        Err(_) => Err(BodyError::Broken),
    }
}

/// Returns whether the error is that of this limit, or of an outer layer's limit, which axum has wrapped.
fn is_about_length(error: &(dyn Error + 'static)) -> bool {
    error.is::<LengthLimitError>() || error.source().is_some_and(is_about_length)
}
