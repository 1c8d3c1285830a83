//! The middleware that refuses forged requests.

use std::{
    future::{Ready, ready},
    rc::Rc,
};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpResponse, ResponseError,
    body::{EitherBody, MessageBody},
    dev::{Payload, Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
    http::{
        StatusCode,
        header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderValue, VARY},
        uri::Authority,
    },
    web::Bytes,
};
use cloakroom::{
    csrf::{CsrfPolicy, Denied, Refusal},
    form::FormInput,
};
use futures_util::{future::LocalBoxFuture, stream};

use crate::{
    SessionRejection, extract::visits, headers::RequestHeaders, input::content_type,
    rejection::plain,
};

/// Refuses requests that another site made the visitor's browser send, before any handler runs.
///
/// What it checks is in [`cloakroom::csrf`]. Wrap it before the session middleware, so that it is
/// inside:
///
/// ```
/// use actix_web::{App, web};
/// use cloakroom_actix::{AppKeys, CsrfMiddleware, SessionMiddleware, Sessions, View};
///
/// let sessions = Sessions::cookie(AppKeys::random()).build()?;
/// let app = App::new()
///     .route("/transfer", web::get().to(async |view: View| view.csrf_field()))
///     .route("/transfer", web::post().to(async || "done"))
///     .wrap(CsrfMiddleware::default())
///     .wrap(SessionMiddleware::new(sessions));
/// # Ok::<(), cloakroom_actix::cookie::CookieError>(())
/// ```
///
/// To find the token in a form it reads the body, which may have 256 kB or what
/// [`PayloadConfig`](actix_web::web::PayloadConfig) says; a larger upload is let through with the
/// token in the header `X-CSRF-Token`, unread.
#[derive(Clone, Debug, Default)]
pub struct CsrfMiddleware {
    policy: CsrfPolicy,
}

impl CsrfMiddleware {
    /// Middleware with this policy.
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
            match admit(&policy, &mut request).await {
                Ok(()) => inner.call(request).await.map(ServiceResponse::map_into_left_body),
                Err(response) => Ok(request.into_response(response).map_into_right_body()),
            }
        })
    }
}

/// Leaves the request as it came, but for a body that was compressed: it is plain afterwards. Or answers
/// what refuses it.
async fn admit(policy: &CsrfPolicy, request: &mut ServiceRequest) -> Result<(), HttpResponse> {
    let visits = visits(request).map_err(|rejection| rejection.error_response())?;
    let (mut body, mut was_read) = (request.take_payload(), false);
    let headers = RequestHeaders(request.headers());
    let authority = request.uri().authority().map(Authority::as_str);
    let capture_form = async {
        let whole = Bytes::from_request(request.request(), &mut body).await;
        let whole = whole.map_err(|error| error.error_response())?;
        if let Ok(input) = FormInput::parse(content_type(request.headers()), whole.clone()).await {
            visits.innermost().capture(input);
        }
        body = Payload::Stream { payload: Box::pin(stream::once(ready(Ok(whole)))) };
        was_read = true;
        Ok(())
    };
    let method = request.method().as_str();
    let admitted = policy.admit(method, &headers, authority, &visits, capture_form).await;
    request.set_payload(body);
    if was_read && request.headers_mut().remove(CONTENT_ENCODING).next().is_some() {
        drop(request.headers_mut().remove(CONTENT_LENGTH));
    }
    admitted.map_err(|denied| match denied {
        Denied::Unreadable(response) => response,
        Denied::NotLoaded(error) => SessionRejection::not_loaded(error).error_response(),
        Denied::Forged(refusal) => {
            let mut response = plain(StatusCode::FORBIDDEN, refusal.to_string());
            response.headers_mut().insert(VARY, HeaderValue::from_static(Refusal::VARY));
            response
        }
    })
}
