//! A failure on its way to the client.

use std::{
    error::Error as StdError,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use serde_json::json;

use crate::adapter::{
    error::AdapterError, require_owner::SignInRequired, response_parts::ResponseParts,
};
use crate::{
    error::{FormReply, WithCauses},
    form::wants_json,
    http::{headers::Headers, request_line::RequestLine},
    observe,
    web::csrf::CsrfRejection,
};

const PROBLEM_JSON: &str = "application/problem+json";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// The [`AdapterError`] of a request, and the format that its client wants.
///
/// The session layer's `on_failure` sets a handler that makes a response from it. The default response is
/// [`to_response`](Self::to_response).
///
/// The library also puts it into the extensions of the response, so that middleware of the application
/// finds it if no session layer is around the route.
///
/// # Logging
/// If a problem with status 500 or 503 becomes a response, it is logged once, however many clones it
/// has. The session layer [logs](Self::log) it with the method and the path of the request. If there is
/// no such layer, dropping the last clone logs it without them.
///
/// # Security
/// The messages of failures with status 500 and 503 name settings and keys of the session, so they belong
/// in the log only. Show clients the [`public_message`](Self::public_message).
#[derive(Clone, Debug)]
pub struct Problem {
    occurrence: Arc<Occurrence>,
    format: Option<ClientFormat>,
    visibility: Visibility,
}

/// A failure, shared by the clones of its problem.
#[derive(Debug)]
struct Occurrence {
    failure: AdapterError,
    has_response: AtomicBool,
    is_logged: AtomicBool,
}

/// The readers of a message that only the application's developers can act on: those of the log, or those
/// of the response as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Visibility {
    LogOnly,
    Response,
}

impl Occurrence {
    fn log(&self, request: Option<RequestLine<'_>>) {
        if self.failure.http_status() >= 500 && !self.is_logged.swap(true, Ordering::Relaxed) {
            observe::failed(WithCauses(&self.failure), request);
        }
    }
}

impl Drop for Occurrence {
    fn drop(&mut self) {
        if *self.has_response.get_mut() {
            self.log(None);
        }
    }
}

/// The format that a client wants a problem in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientFormat {
    Json,
    Text,
}

impl ClientFormat {
    pub(crate) fn of(headers: &(impl Headers + ?Sized)) -> Self {
        if wants_json(headers) { Self::Json } else { Self::Text }
    }
}

impl From<AdapterError> for Problem {
    fn from(failure: AdapterError) -> Self {
        Self::new(failure, None)
    }
}

impl Problem {
    fn new(failure: AdapterError, format: Option<ClientFormat>) -> Self {
        let (has_response, is_logged) = <_>::default();
        let occurrence = Arc::new(Occurrence { failure, has_response, is_logged });
        Self { occurrence, format, visibility: Visibility::LogOnly }
    }

    /// Makes the problem of a request with these headers.
    pub fn of_request(failure: AdapterError, headers: &(impl Headers + ?Sized)) -> Self {
        Self::new(failure, Some(ClientFormat::of(headers)))
    }

    /// Fills in the format that the client wants, unless it is known.
    #[must_use]
    pub(crate) fn or_format(self, format: Option<ClientFormat>) -> Self {
        Self { format: self.format.or(format), ..self }
    }

    /// Adds what only developers can act on to the library's own response: the message, whatever its status is,
    /// and the [explanation](CsrfRejection::explanation) of a refusal.
    #[must_use]
    pub(crate) fn with_visible_message(self) -> Self {
        Self { visibility: Visibility::Response, ..self }
    }

    /// Returns whether the library's own response to `other` is the same.
    pub(super) fn renders_like(&self, other: &Self) -> bool {
        self.wants_json() == other.wants_json()
            && (self.visibility == other.visibility || !self.has_hidden_part())
    }

    /// Returns whether the message is longer for developers than for clients.
    fn has_hidden_part(&self) -> bool {
        self.http_status() >= 500 || self.failure().explanation().is_some()
    }

    /// Returns the reason for the response.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{adapter::{AdapterError, Problem}, csrf::CsrfRejection};
    ///
    /// let problem = Problem::from(AdapterError::from(CsrfRejection::BadToken));
    /// assert!(matches!(problem.failure(), AdapterError::Forged(CsrfRejection::BadToken)));
    /// assert_eq!((problem.http_status(), problem.failure().code()), (403, "bad_token"));
    /// ```
    pub fn failure(&self) -> &AdapterError {
        &self.occurrence.failure
    }

    /// Returns whether the visitor has to sign in, first or again.
    pub fn needs_sign_in(&self) -> bool {
        matches!(self.failure(), AdapterError::SignInRequired(_))
    }

    /// Returns the status of the library's own response.
    pub fn http_status(&self) -> u16 {
        self.failure().http_status()
    }

    /// Returns whether the client [wants JSON](wants_json).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{adapter::Problem, csrf::CsrfRejection};
    ///
    /// let script = [("accept", "application/json")];
    /// assert!(Problem::of_request(CsrfRejection::BadToken.into(), script.as_slice()).wants_json());
    /// ```
    pub fn wants_json(&self) -> bool {
        self.format == Some(ClientFormat::Json)
    }

    /// Returns the message for the client, if the client can do something about the failure (status
    /// 400 to 499).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{adapter::{AdapterError, Problem}, csrf::CsrfRejection};
    ///
    /// let problem = Problem::from(AdapterError::from(CsrfRejection::MissingToken));
    /// assert!(problem.public_message().unwrap().contains("X-CSRF-Token"));
    /// assert_eq!(Problem::from(AdapterError::NoSession("…".into())).public_message(), None);
    /// ```
    pub fn public_message(&self) -> Option<String> {
        (400..500).contains(&self.http_status()).then(|| self.failure().to_string())
    }

    /// Returns the library's own response.
    ///
    /// A client that [wants JSON](wants_json) gets problem details (RFC 9457, media type
    /// `application/problem+json`). If there is a [`public_message`](Self::public_message), it is the
    /// `detail`, and the word [`AdapterError::code`] is the `code`:
    /// `{"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "…", "code": "bad_token"}`.
    /// Other clients get the message as plain text, or an empty body. Status 401 has a `WWW-Authenticate` for
    /// clients with bearer tokens (RFC 6750, 3; RFC 9470, 3 if the sign-in is too old or too weak). The response to an invalid form
    /// is a redirect or `{"errors": {"field": ["message"]}}`, as [`Input`](crate::Input) describes.
    ///
    /// With [`show_errors`](crate::SessionsBuilder::show_errors), a response with status 500 or 503 has the
    /// message of the log, and one to a request that may be forged has the
    /// [explanation](CsrfRejection::explanation) behind its message.
    pub fn to_response(&self) -> ResponseParts {
        self.occurrence.has_response.store(true, Ordering::Relaxed);
        if let Some(reply) = self.form_reply() {
            return ResponseParts::of_form(self.http_status(), reply);
        }
        if let AdapterError::SignInRequired(SignInRequired { page: page @ Some(_), .. }) =
            self.failure()
        {
            return ResponseParts::see_other(page.clone());
        }
        let (status, message) = (self.http_status(), self.message());
        let vary = matches!(self.failure(), AdapterError::Forged(_)).then_some(CsrfRejection::VARY);
        let content = if self.wants_json() {
            Some((PROBLEM_JSON, self.details(message)))
        } else {
            message.map(|message| (PLAIN_TEXT, message))
        };
        let challenge = match self.failure() {
            AdapterError::SignInRequired(required) => required.challenge(),
            _ => None,
        };
        ResponseParts { status, vary, challenge, content, ..ResponseParts::default() }
    }

    /// Returns the message that the library's own response has.
    fn message(&self) -> Option<String> {
        let public = self.public_message();
        if self.visibility == Visibility::LogOnly {
            return public;
        }
        Some(match (public, self.failure().explanation()) {
            (Some(message), Some(explanation)) => format!("{message} ({explanation})"),
            (Some(message), None) => message,
            (None, _) => WithCauses(self.failure()).to_string(),
        })
    }

    /// Returns the reply to an invalid form, if that is the reason.
    fn form_reply(&self) -> Option<&FormReply> {
        match self.failure() {
            AdapterError::Operation(error) => error.form_reply(),
            _ => None,
        }
    }

    fn details(&self, message: Option<String>) -> String {
        let status = self.http_status();
        let mut details =
            json!({ "type": "about:blank", "title": title(status), "status": status });
        if let Some(message) = message {
            details["detail"] = message.into();
            details["code"] = self.failure().code().into();
        }
        details.to_string()
    }

    /// Returns whether a handler for failures may replace the response. It may not for an invalid form,
    /// whose response lists the errors by field.
    pub fn is_replaceable(&self) -> bool {
        self.form_reply().is_none()
    }

    /// Logs the failure with the request that it belongs to, if its status is 500 or 503 and it has not
    /// been logged yet. [`OnFailure::replace`](super::OnFailure::replace) calls this.
    pub fn log(&self, request: RequestLine<'_>) {
        self.occurrence.log(Some(request));
    }
}

/// The reason phrase of a status that a failure has (RFC 9110, 15).
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure().fmt(f)
    }
}

impl StdError for Problem {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.failure().source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    fn server_side() -> [AdapterError; 4] {
        let too_large = || Error::from(Kind::TooLarge { size: 2, limit: 1 });
        [
            AdapterError::NoSession("add the layer".to_owned()),
            AdapterError::NotLoaded(too_large()),
            AdapterError::NotCommitted(too_large()),
            AdapterError::Operation(too_large()),
        ]
    }

    #[test]
    fn a_server_error_shows_the_client_its_status_alone() {
        for failure in server_side() {
            let expected = ResponseParts { status: 500, ..ResponseParts::default() };
            assert_eq!(Problem::from(failure).to_response(), expected);
        }
        for failure in server_side() {
            let asks: &[_] = &[("accept", "application/json")];
            let response = Problem::of_request(failure, asks).to_response();
            let (content_type, body) = response.content.unwrap();
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            let expected =
                json!({ "type": "about:blank", "title": "Internal Server Error", "status": 500 });
            assert_eq!((content_type, body), (PROBLEM_JSON, expected));
        }
    }

    #[test]
    fn a_refusal_has_its_explanation_in_development_only() {
        for refusal in [CsrfRejection::ForeignOrigin, CsrfRejection::MissingToken] {
            let problem = Problem::from(AdapterError::from(refusal));
            let body = |problem: &Problem| problem.to_response().content.map(|(_, body)| body);
            assert_eq!(body(&problem), Some(refusal.to_string()));
            let shown = problem.clone().with_visible_message();
            assert!(!shown.renders_like(&problem));
            let expected = format!("{refusal} ({})", refusal.explanation());
            assert_eq!(body(&shown), Some(expected));
        }
    }

    #[test]
    fn a_refusal_is_text_or_problem_details() {
        let respond = |accept| {
            let headers: &[_] = &[("accept", accept)];
            Problem::of_request(CsrfRejection::BadToken.into(), headers).to_response()
        };
        let text = respond("text/html,*/*");
        assert_eq!((text.status, text.vary), (403, Some(CsrfRejection::VARY)));
        assert_eq!(text.content, Some((PLAIN_TEXT, CsrfRejection::BadToken.to_string())));
        let (content_type, body) = respond("application/json").content.unwrap();
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(content_type, PROBLEM_JSON);
        assert_eq!((&body["status"], &body["code"]), (&json!(403), &json!("bad_token")));
        assert_eq!(body["detail"], CsrfRejection::BadToken.to_string());
    }
}
