//! The service that [`SessionLayer`](crate::SessionLayer) makes.

use std::task::{Context, Poll};

use cloakroom_core::{Sessions, adapter::ContextStack};
use http::{Request, Response};
use tower_service::Service;

use crate::{ResponseFuture, failure::OnFailure, future::Role, layer::Loading};

/// Gives each request a [`RequestContext`](cloakroom_core::adapter::RequestContext) and commits it before the response.
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
        let outer = request.extensions_mut().remove();
        let method = request.method().as_str();
        let (visits, visit) = ContextStack::begin(&self.sessions, method, outer);
        let preload =
            (self.loading == Loading::Ahead).then(|| visits.current().preload(request.headers()));
        let (visit, role) = match visit {
            Some(visit) => (visit, Role::Commits),
            None => (visits.current().clone(), Role::LeavesCommitToOuter),
        };
        request.extensions_mut().insert(visits);
        // The handler begins when it is polled first.
        ResponseFuture::new(self.inner.call(request), visit, role, preload, self.on_failure.clone())
    }
}
