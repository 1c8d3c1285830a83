//! Responses that the library makes itself, on their way out through the session middleware.

use std::fmt;

use actix_web::{
    Error, HttpResponse, ResponseError,
    body::{EitherBody, MessageBody, to_bytes},
    dev::ServiceResponse,
    http::{StatusCode, header::HeaderMap},
    web::Bytes,
};
use cloakroom_core::{
    Error as SessionError,
    adapter::{
        self, AdapterError, Problem, Replacement,
        actix::{render, respond},
        headers_of_replaced,
    },
};

use crate::handled_request::HandledRequest;

/// Holds the application's handler for failures, if it has one.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnFailure(adapter::OnFailure<HttpResponse>);

impl OnFailure {
    pub(crate) fn new(handler: impl Fn(&Problem) -> HttpResponse + Send + Sync + 'static) -> Self {
        Self(adapter::OnFailure::new(handler))
    }

    /// Makes the response to a failure of the middleware itself. Logs the failure.
    pub(crate) fn respond(&self, failure: AdapterError, request: &HandledRequest) -> HttpResponse {
        let problem = request.context.complete(failure);
        self.instead_of(&problem, request).unwrap_or_else(|| respond(&problem))
    }

    /// Replaces a response that was made from a problem, if [`OnFailure`](adapter::OnFailure) says so.
    /// Logs the failure.
    pub(crate) fn replace<B: MessageBody>(
        &self,
        response: ServiceResponse<B>,
        request: &HandledRequest,
    ) -> ServiceResponse<EitherBody<B>> {
        let given = response.response().extensions().get::<Problem>().cloned();
        let made = given.and_then(|problem| self.instead_of(&problem, request));
        let Some(mut made) = made else { return response.map_into_left_body() };
        take_over_headers(&mut made, response.headers());
        response.into_response(made).map_into_right_body()
    }

    /// Replaces the response of an error that middleware returned, if
    /// [`OnFailure`](adapter::OnFailure) says so. Logs the failure.
    pub(crate) async fn replace_error(&self, error: Error, request: &HandledRequest) -> Error {
        let Some(problem) = problem_of(&error) else { return error };
        match self.instead_of(&problem, request) {
            Some(mut made) => {
                take_over_headers(&mut made, error.error_response().headers());
                MiddlewareError::of(error, made).await
            }
            // The response is made from the problem that was logged, so it is not logged again.
            None if error.as_error::<SessionError>().is_some() && problem.http_status() >= 500 => {
                problem.into()
            }
            None => error,
        }
    }

    /// Returns the response that replaces one that was made from `given`, if
    /// [`OnFailure`](adapter::OnFailure) says so.
    fn instead_of(&self, given: &Problem, request: &HandledRequest) -> Option<HttpResponse> {
        let replacement = self.0.replace(given, &request.context, request.line(), render)?;
        let Replacement { mut response, problem, .. } = replacement;
        if let Some(problem) = problem {
            response.extensions_mut().insert(problem);
        }
        Some(response)
    }
}

fn take_over_headers(made: &mut HttpResponse, given: &HeaderMap) {
    for (name, value) in headers_of_replaced(made.headers(), given) {
        made.headers_mut().append(name, value);
    }
}

/// An error of middleware with the response that it becomes, which can be made several times.
#[derive(Debug)]
pub(crate) struct MiddlewareError {
    message: String,
    problem: Option<Problem>,
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl MiddlewareError {
    /// Makes an error that becomes this response.
    pub(crate) async fn of(error: impl fmt::Display, response: HttpResponse) -> Error {
        let problem = response.extensions().get().cloned();
        let (response, body) = response.into_parts();
        let (status, headers) = (response.status(), response.headers().clone());
        // A body that breaks off is left out, as no error could be sent in its place.
        let body = to_bytes(body).await.unwrap_or_default();
        Self { message: error.to_string(), problem, status, headers, body }.into()
    }
}

impl fmt::Display for MiddlewareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ResponseError for MiddlewareError {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status).body(self.body.clone());
        *response.headers_mut() = self.headers.clone();
        if let Some(problem) = &self.problem {
            response.extensions_mut().insert(problem.clone());
        }
        response
    }
}

/// Returns the problem of an error that middleware returned, if the error is one of the library.
fn problem_of(error: &Error) -> Option<Problem> {
    if let Some(error) = error.as_error::<MiddlewareError>() {
        return error.problem.clone();
    }
    error.as_error::<Problem>().cloned().or_else(|| {
        let error = error.as_error::<SessionError>()?;
        Some(AdapterError::from(error.clone()).into())
    })
}
