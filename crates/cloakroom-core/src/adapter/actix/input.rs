//! The extractors of forms.

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::Method, web::Bytes};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::context_stack;
use crate::{
    adapter::{
        body::{self, BodyError},
        context::RequestContext,
        error::AdapterError,
        input::{Input, JsonInput},
        problem::Problem,
    },
    form::FormInput,
    http::redirect::Back,
};

impl<T: DeserializeOwned + 'static> FromRequest for Input<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let stack = context_stack(&request)?;
            let context = stack.current();
            let captured = capture(context, &request, payload).await;
            captured.map_err(|failure| Problem::of_request(failure, request.headers()))?;
            let back = Back::of_http_request(&request);
            let input = Self::of(context, request.headers(), back).await;
            input.map_err(|error| {
                Problem::of_request(AdapterError::NotLoaded(error), request.headers())
            })
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for JsonInput<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let read = async {
                FormInput::check_json(request.headers()).map_err(AdapterError::NotAForm)?;
                let body = read(&request, payload).await?;
                body::parse(request.headers(), body).await
            };
            let body = read.await;
            let body = body.map_err(|failure| Problem::of_request(failure, request.headers()))?;
            Ok(Self::of(&body))
        })
    }
}

async fn capture(
    context: &RequestContext,
    request: &HttpRequest,
    payload: Payload,
) -> Result<(), AdapterError> {
    let input = if matches!(*request.method(), Method::GET | Method::HEAD) {
        FormInput::from_query(request.query_string()).map_err(AdapterError::NotAForm)?
    } else {
        // `Bytes` would decompress each chunk as a whole before it compares with its limit.
        FormInput::check_encoding(request.headers()).map_err(AdapterError::NotAForm)?;
        // The body is read even if the CSRF middleware has captured the form, because the limit of this
        // route can be lower.
        let body = read(request, payload).await?;
        if context.input().is_some() {
            return Ok(());
        }
        body::parse(request.headers(), body).await?
    };
    context.capture(input);
    Ok(())
}

/// Reads the whole body, within the limit of extractors.
async fn read(request: &HttpRequest, mut payload: Payload) -> Result<Bytes, AdapterError> {
    let body = Bytes::from_request(request, &mut payload).await;
    body.map_err(|error| {
        BodyError::of_status(error.as_response_error().status_code().as_u16()).into_failure(None)
    })
}
