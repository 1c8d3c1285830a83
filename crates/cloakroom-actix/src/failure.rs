//! Responses that the library makes itself, on their way out through the session middleware.

use std::fmt;

use actix_web::{
    Error, HttpResponse, ResponseError,
    body::{EitherBody, MessageBody},
    dev::ServiceResponse,
    error::InternalError,
    http::StatusCode,
};
use cloakroom_core::{
    Error as SessionError,
    adapter::{
        self, AdapterError, GivenStatus, Problem, Replacement, ResponseHeaders,
        actix::{render, respond},
        headers_of_replaced,
    },
};

use crate::handled_request::HandledRequest;

/// Holds the application's handler for failures, if it has one.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnFailure(adapter::OnFailure<HttpResponse>);

/// Returns the status of a response before handlers for failures replaced it.
pub(crate) fn given_status<B>(response: &HttpResponse<B>) -> GivenStatus {
    GivenStatus::of(response.extensions().get(), response.status().as_u16())
}

impl OnFailure {
    pub(crate) fn new(handler: impl Fn(&Problem) -> HttpResponse + Send + Sync + 'static) -> Self {
        Self(adapter::OnFailure::new(handler))
    }

    /// Makes the response to a failure of the middleware itself. Logs the failure.
    pub(crate) fn respond(&self, failure: AdapterError, request: &HandledRequest) -> HttpResponse {
        let problem = request.context.complete(failure);
        let response = respond(&problem);
        self.instead_of(&problem, given_status(&response), request).unwrap_or(response)
    }

    /// Replaces a response that was made from a problem, if [`OnFailure`](adapter::OnFailure) says so.
    /// Logs the failure.
    pub(crate) fn replace<B: MessageBody>(
        &self,
        response: ServiceResponse<B>,
        request: &HandledRequest,
    ) -> ServiceResponse<EitherBody<B>> {
        let given = response.response().extensions().get::<Problem>().cloned();
        let status = given_status(response.response());
        let made = given.and_then(|problem| self.instead_of(&problem, status, request));
        let Some(mut made) = made else { return response.map_into_left_body() };
        for (name, value) in headers_of_replaced(made.headers(), response.headers()) {
            made.headers_mut().append(name, value);
        }
        response.into_response(made).map_into_right_body()
    }

    /// Replaces the response of an error that middleware returned, if
    /// [`OnFailure`](adapter::OnFailure) says so. Logs the failure.
    pub(crate) fn replace_error(&self, error: Error, request: &HandledRequest) -> Error {
        let given = MiddlewareError::given_status(&error);
        let Some(problem) = problem_of(&error) else { return error };
        match self.instead_of(&problem, given, request) {
            Some(made) => MiddlewareError::replaced(error, made),
            // The response is made from the problem that was logged, so it is not logged again.
            None if problem.http_status() >= 500 => problem.into(),
            None => error,
        }
    }

    /// Returns the response that replaces one of status `status` that was made from `given`, if
    /// [`OnFailure`](adapter::OnFailure) says so.
    fn instead_of(
        &self,
        given: &Problem,
        status: GivenStatus,
        request: &HandledRequest,
    ) -> Option<HttpResponse> {
        let replacement = self.0.replace(given, &request.context, request.line(), render)?;
        let Replacement { mut response, problem, .. } = replacement;
        response.extensions_mut().insert(status);
        if let Some(problem) = problem {
            response.extensions_mut().insert(problem);
        }
        Some(response)
    }
}

/// An error of middleware whose response carries the session's headers, also if it is made several
/// times.
#[derive(Debug)]
pub(crate) struct MiddlewareError {
    error: Error,
    session: ResponseHeaders,
    /// The status of the error before handlers for failures replaced its response.
    given: GivenStatus,
}

impl MiddlewareError {
    /// Returns the status of an error before handlers for failures replaced its response.
    pub(crate) fn given_status(error: &Error) -> GivenStatus {
        let own = error.as_error::<Self>().map(|own| &own.given);
        GivenStatus::of(own, error.as_response_error().status_code().as_u16())
    }

    /// Makes an error with the response `made` in place of its own.
    pub(crate) fn replaced<T: fmt::Debug + fmt::Display + 'static>(
        error: T,
        made: HttpResponse,
    ) -> Error {
        let given = given_status(&made);
        let error = InternalError::from_response(error, made).into();
        Self { error, session: ResponseHeaders::default(), given }.into()
    }

    /// Makes an error whose response carries the session's headers.
    pub(crate) fn with_session(error: Error, session: ResponseHeaders) -> Error {
        let given = Self::given_status(&error);
        Self { error, session, given }.into()
    }
}

impl fmt::Display for MiddlewareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl ResponseError for MiddlewareError {
    fn status_code(&self) -> StatusCode {
        self.error.as_response_error().status_code()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = self.error.error_response();
        self.session.clone().write_to(response.headers_mut());
        response
    }
}

/// Returns the problem of an error that middleware returned, if the error is one of the library.
fn problem_of(error: &Error) -> Option<Problem> {
    let problem = error.as_error::<Problem>().cloned();
    problem.or_else(|| {
        let error = error.as_error::<SessionError>()?;
        Some(AdapterError::from(error.clone()).into())
    })
}
