//! The service that [`SessionLayer`](crate::SessionLayer) makes.

use std::task::{Context, Poll};

use cloakroom::{Sessions, visit::Visits};
use http::{Request, Response};
use tower_service::Service;

use crate::ResponseFuture;

/// Gives each request a [`Visit`](cloakroom::Visit) and commits it before the response.
#[derive(Clone, Debug)]
pub struct SessionService<S> {
    sessions: Sessions,
    inner: S,
}

impl<S> SessionService<S> {
    pub(crate) fn new(sessions: Sessions, inner: S) -> Self {
        Self { sessions, inner }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for SessionService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Default,
{
    type Response = Response<ResBody>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, ResBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReqBody>) -> Self::Future {
        let around = request.extensions_mut().remove();
        let (visits, visit) = Visits::begin(&self.sessions, around);
        request.extensions_mut().insert(visits);
        ResponseFuture::new(self.inner.call(request), visit)
    }
}
