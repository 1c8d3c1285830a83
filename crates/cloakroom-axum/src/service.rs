//! The service that [`SessionLayer`](crate::SessionLayer) makes.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use cloakroom::{Sessions, Visit};
use http::{Extensions, Request, Response};
use tower_service::Service;

use crate::ResponseFuture;

/// Gives each request a [`Visit`] and commits it before the response.
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
        let visit = CurrentVisit::begin(&self.sessions, request.extensions_mut());
        ResponseFuture::new(self.inner.call(request), visit)
    }
}

/// The visit of the innermost layer, and through it those of the layers around.
#[derive(Clone, Debug)]
pub(crate) struct CurrentVisit {
    visit: Visit,
    outer: Option<Arc<CurrentVisit>>,
}

impl CurrentVisit {
    /// Begins a visit, unless a layer further out has begun one for the same cookie: a response
    /// must not set one cookie twice.
    fn begin(sessions: &Sessions, extensions: &mut Extensions) -> Option<Visit> {
        let outer = extensions.remove::<Self>();
        if let Some(outer) =
            outer.as_ref().filter(|outer| outer.named(sessions.cookie_name()).is_some())
        {
            extensions.insert(outer.clone());
            return None;
        }
        let visit = sessions.visit();
        extensions.insert(Self { visit: visit.clone(), outer: outer.map(Arc::new) });
        Some(visit)
    }

    pub(crate) fn innermost(extensions: &Extensions) -> Option<&Visit> {
        extensions.get::<Self>().map(|current| &current.visit)
    }

    /// The visit of the layer for this cookie.
    pub(crate) fn named(&self, cookie: &str) -> Option<&Visit> {
        if self.visit.sessions().cookie_name() == cookie {
            return Some(&self.visit);
        }
        self.outer.as_ref()?.named(cookie)
    }
}
