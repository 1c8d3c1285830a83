//! Responses that the library makes itself, on their way out through the session middleware.

use std::{fmt, sync::Arc};

use actix_web::{
    Error, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::ServiceResponse,
    error::InternalError,
    http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, SET_COOKIE, VARY},
};
use cloakroom::{
    Visit,
    visit::{Failure, Problem},
};

use crate::rejection::{problem_of, render, respond};

type Handler = dyn Fn(&Problem) -> HttpResponse + Send + Sync;

/// The application's handler for failures, if it has one.
#[derive(Clone, Default)]
pub(crate) struct OnFailure(Option<Arc<Handler>>);

impl OnFailure {
    pub(crate) fn new(handler: impl Fn(&Problem) -> HttpResponse + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(handler)))
    }

    /// Makes the response to a failure of the middleware itself, which goes to the log.
    pub(crate) fn respond(&self, failure: Failure, visit: &Visit) -> HttpResponse {
        let problem = visit.complete(failure);
        let response = respond(&problem);
        self.instead_of(&problem, visit).unwrap_or(response)
    }

    /// Replaces a response that was made from a problem further inside.
    pub(crate) fn replace<B: MessageBody>(
        &self,
        response: ServiceResponse<B>,
        visit: &Visit,
    ) -> ServiceResponse<EitherBody<B>> {
        let given = response.response().extensions().get::<Problem>().cloned();
        let Some(mut made) = given.and_then(|problem| self.instead_of(&problem, visit)) else {
            return response.map_into_left_body();
        };
        keep_headers(made.headers_mut(), response.headers());
        response.into_response(made).map_into_right_body()
    }

    /// Replaces the response of an error that middleware returned.
    pub(crate) fn replace_error(&self, error: Error, visit: &Visit) -> Error {
        match problem_of(&error).and_then(|problem| self.instead_of(problem, visit)) {
            Some(made) => InternalError::from_response(error, made).into(),
            None => error,
        }
    }

    /// Returns the response of the application's handler. Without a handler, returns JSON if the
    /// client wants it and the code that made the response did not know that.
    fn instead_of(&self, given: &Problem, visit: &Visit) -> Option<HttpResponse> {
        let problem = visit.complete(given.clone());
        if let Some(handler) = self.0.as_ref().filter(|_| problem.is_replaceable()) {
            return Some(handler(&problem));
        }
        if problem.wants_json() == given.wants_json() || !problem.is_replaceable() {
            return None;
        }
        let mut response = render(problem.answer());
        // For middleware further out.
        response.extensions_mut().insert(problem);
        Some(response)
    }
}

/// Keeps what middleware further inside has added, such as cookies.
fn keep_headers(made: &mut HeaderMap, given: &HeaderMap) {
    for (name, value) in given {
        let is_list = *name == SET_COOKIE || *name == VARY;
        let is_of_body = *name == CONTENT_TYPE || *name == CONTENT_LENGTH;
        if is_list || !(is_of_body || made.contains_key(name)) {
            made.append(name.clone(), value.clone());
        }
    }
}

impl fmt::Debug for OnFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "OnFailure(set)" } else { "OnFailure(default)" })
    }
}
