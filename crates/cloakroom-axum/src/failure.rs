//! Responses that the library makes itself, on their way out through the session layer.

use std::any::Any;

use axum_core::{body::Body, response::Response as AxumResponse};
use cloakroom_core::adapter::{
    self, AdapterError, Problem, Replacement,
    axum::{render, respond},
    headers_of_replaced,
};
use http::{
    Response,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};

use crate::handled_request::HandledRequest;

/// Holds the application's handler for failures, if it has one.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnFailure(adapter::OnFailure<AxumResponse>);

impl OnFailure {
    pub(crate) fn new(handler: impl Fn(&Problem) -> AxumResponse + Send + Sync + 'static) -> Self {
        Self(adapter::OnFailure::new(handler))
    }

    /// Makes the response to a failure of the session layer itself. Logs the failure.
    pub(crate) fn respond<B: Default + 'static>(
        &self,
        failure: AdapterError,
        request: &HandledRequest,
    ) -> Response<B> {
        self.replace(with_body(respond(request.context.complete(failure))), request)
    }

    /// Replaces a response that was made from a problem, if [`OnFailure`](adapter::OnFailure) says so.
    /// Logs the failure.
    pub(crate) fn replace<B: Default + 'static>(
        &self,
        mut response: Response<B>,
        request: &HandledRequest,
    ) -> Response<B> {
        let given = response.extensions().get::<Problem>();
        let replacement =
            given.and_then(|given| self.0.replace(given, &request.context, request.line(), render));
        let Some(Replacement { response: made, problem, .. }) = replacement else {
            return response;
        };
        let mut made = with_body(made);
        let mut extensions = std::mem::take(response.extensions_mut());
        extensions.remove::<Problem>();
        made.extensions_mut().extend(extensions);
        if let Some(problem) = problem {
            made.extensions_mut().insert(problem);
        }
        for (name, value) in headers_of_replaced(made.headers(), response.headers()) {
            made.headers_mut().append(name, value);
        }
        made
    }
}

/// Gives a response the body type of the service. If that is not axum's, the body stays empty, because
/// a body of an unknown type cannot be made from text.
pub(crate) fn with_body<B: Default + 'static>(response: AxumResponse) -> Response<B> {
    let (mut parts, made) = response.into_parts();
    let mut body = B::default();
    if let Some(slot) = (&mut body as &mut dyn Any).downcast_mut::<Body>() {
        *slot = made;
    } else {
        parts.headers.remove(CONTENT_TYPE);
        parts.headers.remove(CONTENT_LENGTH);
    }
    Response::from_parts(parts, body)
}
