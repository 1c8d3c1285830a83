//! The extractors of forms.

use axum_core::{
    body::Body,
    extract::{FromRequest, Request},
    response::IntoResponse,
};
use bytes::Bytes;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::context_stack;
use crate::{
    adapter::{
        body::BodyError,
        input::{Input, JsonInput},
        problem::Problem,
    },
    http::redirect::Back,
};

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Input<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let context = context_stack(request.extensions(), request.headers())?.current().clone();
        let (parts, body) = request.into_parts();
        let input = async {
            let (method, headers) = (parts.method.as_str(), &parts.headers);
            let body = read(&parts, body, state);
            context.read_form(method, parts.uri.query(), headers, body).await?;
            Self::of(&context, headers, Back::of_parts(&parts)).await
        };
        input.await.map_err(|failure| Problem::of_request(failure, &parts.headers))
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonInput<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let input = Self::of(&parts.headers, read(&parts, body, state)).await;
        input.map_err(|failure| Problem::of_request(failure, &parts.headers))
    }
}

/// Reads the whole body, within the limit of extractors.
async fn read<S: Send + Sync>(parts: &Parts, body: Body, state: &S) -> Result<Bytes, BodyError> {
    let body = Bytes::from_request(Request::from_parts(parts.clone(), body), state).await;
    body.map_err(|rejection| BodyError::of_status(rejection.into_response().status().as_u16()))
}
