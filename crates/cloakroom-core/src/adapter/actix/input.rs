//! The extractors of forms.

use actix_web::{FromRequest, HttpRequest, dev::Payload, http::Version, web::Bytes};
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;

use super::{context_stack, extract::refused};
use crate::{
    adapter::{
        body::BodyError,
        input::{Input, JsonInput},
        problem::Problem,
    },
    http::{headers::Headers, redirect::Back},
};

impl<T: DeserializeOwned + 'static> FromRequest for Input<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let stack = context_stack(&request)?;
            let (context, headers) = (stack.current(), request.headers());
            let input = async {
                let (method, query) = (request.method().as_str(), request.uri().query());
                context.read_form(method, query, headers, read(&request, payload)).await?;
                Self::of(context, headers, Back::of_http_request(&request)).await
            };
            input.await.map_err(|failure| refused(failure, &request))
        })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for JsonInput<T> {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let (request, payload) = (request.clone(), payload.take());
        Box::pin(async move {
            let input = Self::of(request.headers(), read(&request, payload)).await;
            input.map_err(|failure| refused(failure, &request))
        })
    }
}

/// Reads the whole body, within the limit of extractors.
async fn read(request: &HttpRequest, mut payload: Payload) -> Result<Bytes, BodyError> {
    if matches!(payload, Payload::None) && announces_body(request) {
        return Err(BodyError::Taken);
    }
    let body = Bytes::from_request(request, &mut payload).await;
    body.map_err(|error| BodyError::of_status(error.as_response_error().status_code().as_u16()))
}

/// Returns whether actix-web has made a payload for the request. For HTTP/2 it always does.
fn announces_body(request: &HttpRequest) -> bool {
    let headers = request.headers();
    let length = Headers::text(headers, "content-length");
    request.version() == Version::HTTP_2
        || headers.contains_key("transfer-encoding")
        || length.is_some_and(|length| length != "0")
}
