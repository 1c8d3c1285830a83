//! The middleware for routes of signed-in visitors.

use std::{
    future::{Ready, ready},
    rc::Rc,
};

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{Service, ServiceRequest, ServiceResponse, Transform, forward_ready},
};
use futures_util::future::LocalBoxFuture;

use super::{
    extract::{context_stack, refused, request_head},
    respond,
};
use crate::adapter::require_owner::RequireOwner;

impl<S, B> Transform<S, ServiceRequest> for RequireOwner
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Transform = OwnerService<S>;
    type InitError = ();
    type Future = Ready<Result<OwnerService<S>, ()>>;

    fn new_transform(&self, inner: S) -> Self::Future {
        ready(Ok(OwnerService { required: self.clone(), inner: Rc::new(inner) }))
    }
}

/// The service that the middleware [`RequireOwner`] makes.
#[derive(Debug)]
pub struct OwnerService<S> {
    required: RequireOwner,
    inner: Rc<S>,
}

impl<S, B> Service<ServiceRequest> for OwnerService<S>
where
    S: Service<ServiceRequest, Response = ServiceResponse<B>, Error = Error> + 'static,
    B: MessageBody + 'static,
{
    type Response = ServiceResponse<EitherBody<B>>;
    type Error = Error;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Error>>;

    forward_ready!(inner);

    fn call(&self, request: ServiceRequest) -> Self::Future {
        let (required, inner) = (self.required.clone(), self.inner.clone());
        Box::pin(async move {
            let head = request.request();
            let checked = async {
                let stack = context_stack(head)?;
                let checked = required.check(stack.current(), request_head(head)).await;
                checked.map_err(|failure| refused(failure, head))
            };
            match checked.await {
                Ok(_) => inner.call(request).await.map(ServiceResponse::map_into_left_body),
                Err(problem) => Ok(request.into_response(respond(&problem)).map_into_right_body()),
            }
        })
    }
}
