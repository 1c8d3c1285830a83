//! The middleware that refuses forged requests.

use std::{
    future::{Ready, ready},
    rc::Rc,
};

use actix_web::{
    Error, HttpMessage, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::uri::Authority,
    web::{Bytes, BytesMut},
};
use cloakroom_core::{
    adapter::{
        BodyError, Problem,
        actix::{context_stack, respond},
    },
    csrf::CsrfPolicy,
};
use futures_util::{StreamExt, future::LocalBoxFuture, stream};

/// Refuses forged requests (CSRF), which another site makes the visitor's browser send, before any handler
/// runs.
///
/// The checks are described in [`cloakroom_core::csrf`]. Wrap it before the session middleware, so that
/// it is inside:
///
/// ```
/// # mod cloakroom { pub use cloakroom_core::*; pub mod actix { pub use cloakroom_actix::*; } }
/// use actix_web::{App, web};
/// use cloakroom::{actix::{CsrfMiddleware, SessionMiddleware}, AppKeys, Driver, Sessions, View};
///
/// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).build()?;
/// let app = App::new()
///     .route("/transfer", web::get().to(async |view: View| view.csrf_field()))
///     .route("/transfer", web::post().to(async || "done"))
///     .wrap(CsrfMiddleware::default())
///     .wrap(SessionMiddleware::new(sessions));
/// # Ok::<(), cloakroom::ConfigError>(())
/// ```
///
/// If the token is in a form, the middleware reads up to 2 MiB of the body, and only for a visitor who has a
/// session. [`CsrfPolicy::limit_form`] sets the limit. Send the token of larger uploads in the header
/// `X-CSRF-Token`, because their bodies are then not read.
/// [`PayloadConfig`](actix_web::web::PayloadConfig) applies to extractors only.
///
/// [`CsrfPolicy`] sets which requests need a token. Routes whose clients send none, such as server functions,
/// go by Fetch Metadata:
///
/// ```
/// # mod cloakroom { pub use cloakroom_core::*; pub mod actix { pub use cloakroom_actix::*; } }
/// use cloakroom::{actix::CsrfMiddleware, csrf::CsrfPolicy};
///
/// let middleware = CsrfMiddleware::new(CsrfPolicy::fetch_metadata());
/// ```
///
/// [`SessionMiddleware::on_failure`](crate::SessionMiddleware::on_failure) replaces the response to a
/// refused request.
#[derive(Clone, Debug, Default)]
pub struct CsrfMiddleware {
    policy: CsrfPolicy,
}

impl CsrfMiddleware {
    /// Makes middleware with this policy.
    #[must_use]
    pub fn new(policy: CsrfPolicy) -> Self {
        Self { policy }
    }
}

impl<S, B> Transform<S, ServiceRequest> for CsrfMiddleware
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = CsrfService<S>;
    type InitError = ();
    type Future = Ready<Result<CsrfService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(CsrfService { policy: self.policy.clone(), inner: Rc::new(inner) }))
    }
}

/// The service that [`CsrfMiddleware`] makes.
#[derive(Debug)]
pub struct CsrfService<S> {
    policy: CsrfPolicy,
    inner: Rc<S>,
}

impl<S, B> Service<ServiceRequest> for CsrfService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(inner);

    fn call(&self, mut request: ServiceRequest) -> Self::Future {
        let (policy, inner) = (self.policy.clone(), self.inner.clone());
        Box::pin(async move {
            match verify(&policy, &mut request).await {
                Ok(()) => inner.call(request).await.map(ServiceResponse::map_into_left_body),
                Err(response) => Ok(request.into_response(response).map_into_right_body()),
            }
        })
    }
}

/// Checks a request, and restores its body.
///
/// # Errors
/// When the request is refused. The error is the response.
async fn verify(policy: &CsrfPolicy, request: &mut ServiceRequest) -> Result<(), HttpResponse> {
    let mut body = request.take_payload();
    let request_head = request.request();
    let stack = context_stack(request_head).map_err(|problem| respond(&problem))?;
    let headers = request_head.headers();
    let authority = request_head.uri().authority().map(Authority::as_str);
    let reading = async {
        let whole = read(&mut body, policy.form_limit()).await?;
        let again = stream::once(ready(Ok(whole.clone())));
        body = Payload::Stream { payload: Box::pin(again) };
        Ok(whole)
    };
    let method = request_head.method().as_str();
    let verified = policy.verify_request(method, headers, authority, &stack, reading).await;
    let verified = verified.map_err(|failure| respond(&Problem::of_request(failure, headers)));
    request.set_payload(body);
    verified
}

/// Reads the whole body without decompressing it. Fails if it has more than `limit` bytes.
async fn read(body: &mut Payload, limit: usize) -> Result<Bytes, BodyError> {
    let mut whole = BytesMut::new();
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|_| BodyError::Broken)?;
        if chunk.len() > limit - whole.len() {
            return Err(BodyError::TooLarge);
        }
        whole.extend_from_slice(&chunk);
    }
    Ok(whole.freeze())
}
