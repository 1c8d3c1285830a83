//! The layer for routes of signed-in visitors.

use std::{
    convert::Infallible,
    mem,
    pin::Pin,
    task::{Context, Poll},
};

use axum_core::{extract::Request, response::Response};
use tower_layer::Layer;
use tower_service::Service;

use super::{
    extract::{request_head, session_extension},
    respond,
};
use crate::adapter::{problem::Problem, require_owner::RequireOwner};

impl<S> Layer<S> for RequireOwner {
    type Service = OwnerService<S>;

    fn layer(&self, inner: S) -> OwnerService<S> {
        OwnerService { required: self.clone(), inner }
    }
}

/// The service that the layer [`RequireOwner`] makes.
#[derive(Clone, Debug)]
pub struct OwnerService<S> {
    required: RequireOwner,
    inner: S,
}

impl<S> Service<Request> for OwnerService<S>
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
        let required = self.required.clone();
        // `poll_ready` was called on this service and not on its clone, so this one is called.
        let fresh = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, fresh);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let checked = async {
                let found = session_extension(&parts.extensions, &parts.headers)?;
                let head = request_head(&parts, found.target());
                let checked = required.check(found.stack.current(), head).await;
                checked.map_err(|failure| Problem::of_request(failure, &parts.headers))
            };
            match checked.await {
                Ok(_) => inner.call(Request::from_parts(parts, body)).await,
                Err(problem) => Ok(respond(problem)),
            }
        })
    }
}
