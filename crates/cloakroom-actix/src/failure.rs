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
        self, AdapterError, GivenStatus, Problem, Replacement, RequestContext, ResponseHeaders,
        actix::{render, respond},
        headers_of_replaced,
    },
};

/// The application's handler for failures, if it has one.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnFailure(adapter::OnFailure<HttpResponse>);

/// Returns the status of a response as the code further inside gave it.
pub(crate) fn given_status<B>(response: &HttpResponse<B>) -> GivenStatus {
    GivenStatus::of(response.extensions().get(), response.status().as_u16())
}

impl OnFailure {
    pub(crate) fn new(handler: impl Fn(&Problem) -> HttpResponse + Send + Sync + 'static) -> Self {
        Self(adapter::OnFailure::new(handler))
    }

    /// Makes the response to a failure of the middleware itself, which goes to the log.
    pub(crate) fn respond(&self, failure: AdapterError, visit: &RequestContext) -> HttpResponse {
        let problem = visit.complete(failure);
        let response = respond(&problem);
        self.instead_of(&problem, given_status(&response), visit).unwrap_or(response)
    }

    /// Replaces a response that was made from a problem further inside.
    pub(crate) fn replace<B: MessageBody>(
        &self,
        response: ServiceResponse<B>,
        visit: &RequestContext,
    ) -> ServiceResponse<EitherBody<B>> {
        let given = response.response().extensions().get::<Problem>().cloned();
        let status = given_status(response.response());
        let made = given.and_then(|problem| self.instead_of(&problem, status, visit));
        let Some(mut made) = made else { return response.map_into_left_body() };
        for (name, value) in headers_of_replaced(made.headers(), response.headers()) {
            made.headers_mut().append(name, value);
        }
        response.into_response(made).map_into_right_body()
    }

    /// Replaces the response of an error that middleware returned.
    pub(crate) fn replace_error(&self, error: Error, visit: &RequestContext) -> Error {
        let given = MiddlewareError::given_status(&error);
        match problem_of(&error).and_then(|problem| self.instead_of(&problem, given, visit)) {
            Some(made) => MiddlewareError::replaced(error, made),
            None => error,
        }
    }

    /// Returns the response in the place of one of status `status` that was made from `given`, where
    /// [`OnFailure`](adapter::OnFailure) says so.
    fn instead_of(
        &self,
        given: &Problem,
        status: GivenStatus,
        visit: &RequestContext,
    ) -> Option<HttpResponse> {
        let Replacement { mut response, problem, .. } = self.0.replace(given, visit, render)?;
        response.extensions_mut().insert(status);
        if let Some(problem) = problem {
            response.extensions_mut().insert(problem);
        }
        Some(response)
    }
}

/// An error of middleware, whose response carries what its session asks for, however often it is asked
/// for the response.
#[derive(Debug)]
pub(crate) struct MiddlewareError {
    error: Error,
    session: ResponseHeaders,
    /// The status of the error before the application's handler replaced its response.
    given: GivenStatus,
}

impl MiddlewareError {
    /// Returns the status of an error as the code further inside gave it.
    pub(crate) fn given_status(error: &Error) -> GivenStatus {
        let own = error.as_error::<Self>().map(|own| &own.given);
        GivenStatus::of(own, error.as_response_error().status_code().as_u16())
    }

    /// An error with the response `made` in place of its own.
    pub(crate) fn replaced<T: fmt::Debug + fmt::Display + 'static>(
        error: T,
        made: HttpResponse,
    ) -> Error {
        let given = given_status(&made);
        let error = InternalError::from_response(error, made).into();
        Self { error, session: ResponseHeaders::default(), given }.into()
    }

    /// An error whose response carries what its session asks for.
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

/// Returns the problem of an error of the library that middleware returned.
fn problem_of(error: &Error) -> Option<Problem> {
    let problem = error.as_error::<Problem>().cloned();
    problem.or_else(|| {
        let error = error.as_error::<SessionError>()?;
        Some(AdapterError::from(error.clone()).into())
    })
}
