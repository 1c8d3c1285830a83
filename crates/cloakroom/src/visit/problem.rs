//! A failure on its way to the client.

use std::{error::Error as StdError, fmt, sync::Arc};

use serde_json::json;

use super::{Answer, Failure};
use crate::{csrf::Refusal, error::WithCauses, form::wants_json, observe, request::Headers};

const PROBLEM_JSON: &str = "application/problem+json";
const PLAIN_TEXT: &str = "text/plain; charset=utf-8";

/// A [`Failure`], and whether the client wants JSON. The session layer's `on_failure` sets a handler
/// that turns it into a response; the default is [`answer`](Self::answer).
///
/// The library puts it into the extensions of the response as well, so that middleware of the
/// application finds it where no session layer is around the route.
///
/// # Security
/// The messages of failures with status 500 and 503 name settings and keys of the session, so they are
/// for the log alone. Show clients the [`public_message`](Self::public_message).
#[derive(Clone, Debug)]
pub struct Problem {
    failure: Arc<Failure>,
    format: Option<ClientFormat>,
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

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self { failure: Arc::new(failure), format: None }
    }
}

impl Problem {
    /// Makes the problem of a request with these headers.
    pub fn of_request(failure: Failure, headers: &(impl Headers + ?Sized)) -> Self {
        Self { failure: Arc::new(failure), format: Some(ClientFormat::of(headers)) }
    }

    /// Fills in the format that the client wants, where it is not known yet.
    #[must_use]
    pub(crate) fn or_format(self, format: Option<ClientFormat>) -> Self {
        Self { format: self.format.or(format), ..self }
    }

    /// Returns why the library replies.
    ///
    /// ```
    /// use cloakroom::{csrf::Refusal, visit::{Failure, Problem}};
    ///
    /// let problem = Problem::from(Failure::from(Refusal::BadToken));
    /// assert!(matches!(problem.failure(), Failure::Forged(Refusal::BadToken)));
    /// assert_eq!((problem.http_status(), problem.failure().code()), (403, "bad_token"));
    /// ```
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Returns the status of the library's own response.
    pub fn http_status(&self) -> u16 {
        self.failure.http_status()
    }

    /// Returns whether the client [wants JSON](wants_json).
    ///
    /// ```
    /// use cloakroom::{csrf::Refusal, visit::Problem};
    ///
    /// let script = [("accept", "application/json")];
    /// assert!(Problem::of_request(Refusal::BadToken.into(), script.as_slice()).wants_json());
    /// ```
    pub fn wants_json(&self) -> bool {
        self.format == Some(ClientFormat::Json)
    }

    /// Returns the message for the client, if the client can do something about the failure (status
    /// 400 to 499).
    ///
    /// ```
    /// use cloakroom::{csrf::Refusal, visit::{Failure, Problem}};
    ///
    /// let problem = Problem::from(Failure::from(Refusal::MissingToken));
    /// assert!(problem.public_message().unwrap().contains("X-CSRF-Token"));
    /// assert_eq!(Problem::from(Failure::NoSession("…".into())).public_message(), None);
    /// ```
    pub fn public_message(&self) -> Option<String> {
        (400..500).contains(&self.http_status()).then(|| self.failure.to_string())
    }

    /// Returns the library's own response.
    ///
    /// A client that [wants JSON](wants_json) gets problem details (RFC 9457, media type
    /// `application/problem+json`), with the word [`Failure::code`] as `code` where there is a
    /// [`public_message`](Self::public_message):
    /// `{"type": "about:blank", "title": "Forbidden", "status": 403, "detail": "…", "code": "bad_token"}`.
    /// Other clients get the message as plain text, or an empty body. The response to an invalid form
    /// is a redirect or `{"errors": {"field": ["message"]}}`, as the adapters' `Input` describes.
    pub fn answer(&self) -> Answer {
        if let Failure::Form(invalid) = &*self.failure {
            return invalid.answer().unwrap_or_else(|error| {
                let problem = Self { failure: Arc::new(error.into()), format: self.format };
                problem.log();
                problem.answer()
            });
        }
        let (status, message) = (self.http_status(), self.public_message());
        let vary = matches!(*self.failure, Failure::Forged(_)).then_some(Refusal::VARY);
        let content = if self.wants_json() {
            Some((PROBLEM_JSON, self.details(message)))
        } else {
            message.map(|message| (PLAIN_TEXT, message))
        };
        Answer { status, location: None, vary, content }
    }

    fn details(&self, message: Option<String>) -> String {
        let status = self.http_status();
        let mut details =
            json!({ "type": "about:blank", "title": title(status), "status": status });
        if let Some(message) = message {
            details["detail"] = message.into();
            details["code"] = self.failure.code().into();
        }
        details.to_string()
    }

    /// Returns whether a handler for failures may replace the response. It may not for an invalid form,
    /// whose response lists the errors by field.
    pub fn is_replaceable(&self) -> bool {
        !matches!(*self.failure, Failure::Form(_))
    }

    /// Logs the failure if its status is 500 or more. Adapters call this once, where they make the
    /// response.
    pub fn log(&self) {
        if self.http_status() >= 500 {
            observe::failed(WithCauses(&*self.failure));
        }
    }
}

/// The reason phrase of a status that a failure has (RFC 9110, 15).
fn title(status: u16) -> &'static str {
    match status {
        400 => "Bad Request",
        403 => "Forbidden",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failure.fmt(f)
    }
}

impl StdError for Problem {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.failure.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, Kind};

    fn server_side() -> [Failure; 4] {
        let too_large = || Error::from(Kind::TooLarge { size: 2, limit: 1 });
        [
            Failure::NoSession("add the layer".to_owned()),
            Failure::NotLoaded(too_large()),
            Failure::NotCommitted(too_large()),
            Failure::Operation(too_large()),
        ]
    }

    #[test]
    fn clients_hear_of_a_status_and_nothing_else_where_they_cannot_help() {
        for failure in server_side() {
            let expected = Answer { status: 500, ..Answer::default() };
            assert_eq!(Problem::from(failure).answer(), expected);
        }
        for failure in server_side() {
            let asks: &[_] = &[("accept", "application/json")];
            let answer = Problem::of_request(failure, asks).answer();
            let (content_type, body) = answer.content.unwrap();
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            let expected =
                json!({ "type": "about:blank", "title": "Internal Server Error", "status": 500 });
            assert_eq!((content_type, body), (PROBLEM_JSON, expected));
        }
    }

    #[test]
    fn a_refusal_is_text_or_problem_details() {
        let answer = |accept| {
            let headers: &[_] = &[("accept", accept)];
            Problem::of_request(Refusal::BadToken.into(), headers).answer()
        };
        let text = answer("text/html,*/*");
        assert_eq!((text.status, text.vary), (403, Some(Refusal::VARY)));
        assert_eq!(text.content, Some((PLAIN_TEXT, Refusal::BadToken.to_string())));
        let (content_type, body) = answer("application/json").content.unwrap();
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(content_type, PROBLEM_JSON);
        assert_eq!((&body["status"], &body["code"]), (&json!(403), &json!("bad_token")));
        assert_eq!(body["detail"], Refusal::BadToken.to_string());
    }
}
