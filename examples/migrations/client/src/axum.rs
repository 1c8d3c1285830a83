//! Applications on axum.

use axum::{Router, body::Body};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::{Application, Request, Response};

impl Application for Router {
    async fn call(&self, request: Request) -> Response {
        let mut http = axum::http::Request::builder().method(request.method).uri(request.target);
        for (name, value) in request.headers {
            http = http.header(name, value);
        }
        let http = http.body(Body::from(request.body));
        let http = http.unwrap_or_else(|error| panic!("the request is invalid: {error}"));
        let Ok(response) = self.clone().oneshot(http).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await;
        let body = body.unwrap_or_else(|error| panic!("the body broke off: {error}")).to_bytes();
        let headers = parts.headers.iter().map(|(name, value)| {
            (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
        });
        Response {
            status: parts.status.as_u16(),
            headers: headers.collect(),
            text: String::from_utf8_lossy(&body).into_owned(),
        }
    }
}
