//! Errors and redirects as responses of actix-web.

use actix_web::{
    HttpRequest, HttpResponse, Responder, ResponseError,
    http::{
        StatusCode,
        header::{HeaderValue, LOCATION, VARY, WWW_AUTHENTICATE},
    },
};

use crate::{
    adapter::{error::AdapterError, problem::Problem, response_parts::ResponseParts},
    error::Error,
    http::{redirect::SeeOther, response_headers::HeadersMut},
};

impl ResponseError for Error {
    fn status_code(&self) -> StatusCode {
        status(self.http_status())
    }

    fn error_response(&self) -> HttpResponse {
        respond(&AdapterError::from(self.clone()).into())
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        status(self.http_status())
    }

    fn error_response(&self) -> HttpResponse {
        respond(self)
    }
}

impl Responder for SeeOther {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.into()
    }
}

impl From<SeeOther> for HttpResponse {
    fn from(redirect: SeeOther) -> Self {
        see_other(redirect.location())
    }
}

/// Makes the library's own response, and puts the problem into its extensions for the session
/// middleware and for middleware of the application.
pub fn respond(problem: &Problem) -> HttpResponse {
    let mut response = render(problem.to_response());
    if problem.is_replaceable() {
        response.extensions_mut().insert(problem.clone());
    }
    response
}

/// Converts a response of the library into one of actix-web.
pub fn render(parts: ResponseParts) -> HttpResponse {
    let mut response = match (parts.location, parts.content) {
        (Some(target), _) => see_other(&target),
        (None, Some((content_type, body))) => {
            HttpResponse::Ok().content_type(content_type).body(body)
        }
        (None, None) => HttpResponse::Ok().finish(),
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
    *response.status_mut() = status(parts.status);
    response
}

fn see_other(target: &str) -> HttpResponse {
    let location = HeaderValue::try_from(target).unwrap_or(HeaderValue::from_static("/"));
    HttpResponse::SeeOther().insert_header((LOCATION, location)).finish()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
