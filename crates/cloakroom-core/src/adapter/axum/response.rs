//! Errors and redirects as responses of axum.

use axum_core::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, LOCATION, VARY, WWW_AUTHENTICATE},
};

use crate::{
    adapter::{error::AdapterError, problem::Problem, response_parts::ResponseParts},
    error::Error,
    http::{redirect::SeeOther, response_headers::HeadersMut},
};

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        respond(AdapterError::from(self).into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        respond(self)
    }
}

impl IntoResponse for SeeOther {
    fn into_response(self) -> Response {
        see_other(self.location())
    }
}

/// Makes the library's own response, and puts the problem into its extensions for the session layer and
/// for middleware of the application.
pub fn respond(problem: Problem) -> Response {
    let mut response = render(problem.to_response());
    if problem.is_replaceable() {
        response.extensions_mut().insert(problem);
    }
    response
}

/// Converts a response of the library into one of axum.
pub fn render(parts: ResponseParts) -> Response {
    let mut response = match (parts.location, parts.content) {
        (Some(target), _) => see_other(&target),
        (None, Some((content_type, body))) => {
            ([(CONTENT_TYPE, content_type)], body).into_response()
        }
        (None, None) => ().into_response(),
    };
    if let Some(vary) = parts.vary {
        response.headers_mut().insert(VARY, HeaderValue::from_static(vary));
    }
    if let Some(challenge) = parts.challenge.and_then(|text| HeaderValue::try_from(text).ok()) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    for (name, value) in parts.headers {
        HeadersMut::append(response.headers_mut(), name, value);
    }
    let status = StatusCode::from_u16(parts.status);
    *response.status_mut() = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

fn see_other(target: &str) -> Response {
    let location = HeaderValue::try_from(target).unwrap_or(HeaderValue::from_static("/"));
    (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response()
}
