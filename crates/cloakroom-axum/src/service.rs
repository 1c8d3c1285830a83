//! The service that [`SessionLayer`](crate::SessionLayer) makes.

use std::{
    any::TypeId,
    task::{Context, Poll},
};

use axum_core::body::Body;
use cloakroom_core::{
    Sessions,
    adapter::{ContextStack, RequestHead, axum::SessionExtension},
};
use http::{
    Request, Response,
    uri::{Authority, PathAndQuery},
};
use tower_service::Service;

use crate::{ResponseFuture, failure::OnFailure, handled_request::HandledRequest, layer::Loading};

/// Gives each request a [`RequestContext`](cloakroom_core::adapter::RequestContext), and commits its
/// session before the response leaves.
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    sessions: Sessions,
    loading: Loading,
    on_failure: OnFailure,
    inner: S,
}

impl<S> SessionService<S> {
    pub(crate) fn new(
        sessions: Sessions,
        loading: Loading,
        on_failure: OnFailure,
        inner: S,
    ) -> Self {
        Self { sessions, loading, on_failure, inner }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SessionService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Default + 'static,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let outer: Option<SessionExtension> = request.extensions_mut().remove();
        let (outer, target) = outer.map_or((None, None), |outer| (Some(outer.stack), outer.target));
        let target = target.or_else(|| request.uri().path_and_query().cloned());
        let (stack, context) =
            ContextStack::begin(&self.sessions, request.method().as_str(), outer);
        let head = RequestHead {
            method: request.method().as_str(),
            target: target.as_ref().map_or("", PathAndQuery::as_str),
            authority: request.uri().authority().map(Authority::as_str),
            headers: request.headers(),
        };
        // Only axum's own body can carry the reply. With another one, sessions stay unbound.
        let can_reply = TypeId::of::<ResBody>() == TypeId::of::<Body>();
        let reply = can_reply.then(|| context.device_reply(&head)).flatten();
        let ahead = reply.or_else(|| {
            (self.loading == Loading::Ahead).then(|| context.preload(request.headers()))
        });
        let handled = HandledRequest::new(context, request.method().clone(), target.clone());
        request.extensions_mut().insert(SessionExtension { stack, target });
        // The handler runs when this future is polled first, which is after `ahead`.
        let handler = self.inner.call(request);
        ResponseFuture::new(handler, handled, ahead, self.on_failure.clone())
    }
}
