//! The extractors of forms.

use axum_core::{
    body::Body,
    extract::{FromRequest, Request},
    response::IntoResponse,
};
use bytes::Bytes;
use http::{Method, request::Parts};
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

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let context = context_stack(request.extensions(), request.headers())?.current().clone();
        let (parts, body) = request.into_parts();
        let captured = capture(&context, &parts, body, state).await;
        captured.map_err(|failure| Problem::of_request(failure, &parts.headers))?;
        let input = Self::of(&context, &parts.headers, Back::of_parts(&parts)).await;
        input.map_err(|error| Problem::of_request(AdapterError::NotLoaded(error), &parts.headers))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonInput<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let read = async {
            FormInput::check_json(&parts.headers).map_err(AdapterError::NotAForm)?;
            let body = read(&parts, body, state).await?;
            body::parse(&parts.headers, body).await
        };
        let body = read.await.map_err(|failure| Problem::of_request(failure, &parts.headers))?;
        Ok(Self::of(&body))
    }
}

async fn capture<S: Send + Sync>(
    context: &RequestContext,
    parts: &Parts,
    body: Body,
    state: &S,
) -> Result<(), AdapterError> {
    let input = if matches!(parts.method, Method::GET | Method::HEAD) {
        FormInput::from_query(parts.uri.query().unwrap_or_default())
            .map_err(AdapterError::NotAForm)?
    } else {
        FormInput::check_encoding(&parts.headers).map_err(AdapterError::NotAForm)?;
        // The body is read even if the CSRF layer has captured the form, because the limit of this route
        // can be lower.
        let body = read(parts, body, state).await?;
        if context.input().is_some() {
            return Ok(());
        }
        body::parse(&parts.headers, body).await?
    };
    context.capture(input);
    Ok(())
}

/// Reads the whole body, within the limit of extractors.
async fn read<S: Send + Sync>(parts: &Parts, body: Body, state: &S) -> Result<Bytes, AdapterError> {
    let body = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
    body.map_err(|rejection| {
        BodyError::of_status(rejection.into_response().status().as_u16()).into_failure(None)
    })
}
