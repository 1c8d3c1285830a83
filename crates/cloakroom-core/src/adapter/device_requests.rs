//! The requests by which a browser registers and proves its device. The session layer replies to them in
//! front of the application.

use std::{borrow::Cow, pin::Pin};

use serde_json::json;

use super::{
    context::{Enforcement, Part, RequestContext},
    problem::ClientFormat,
    require_owner::RequestHead,
    response_parts::ResponseParts,
};
use crate::{
    backend::device_binding::DeviceEndpoint,
    cookie::TokenCandidates,
    error::Error,
    http::{fetch_metadata::FetchMetadata, headers::Headers, request_line::RequestLine},
    observe,
    session::{
        Session,
        device::{DeviceOutcome, DeviceRefusal},
        sessions::TokenTransport,
    },
};

/// A future that runs ahead of the handler. If it returns a response, the handler does not run, and the
/// response is committed and sent as one of the handler.
pub type Ahead = Pin<Box<dyn Future<Output = Result<Option<ResponseParts>, Error>> + Send>>;

/// A request about a device. It outlives the headers of the request.
struct DeviceRequest {
    endpoint: DeviceEndpoint,
    candidates: TokenCandidates<'static>,
    format: ClientFormat,
    /// `Sec-Secure-Session-Id`, which only the browser itself can send.
    id: Option<String>,
    /// `Secure-Session-Response`.
    proof: Option<String>,
    /// The application's own origin.
    origin: Option<String>,
}

impl RequestContext {
    /// Returns the reply to a request by which a browser registers or proves its device
    /// ([`DeviceBinding`](crate::DeviceBinding)), or `None` for any other request. An adapter awaits it in
    /// place of the handler.
    pub fn device_reply(&self, request: &RequestHead<'_, impl Headers + ?Sized>) -> Option<Ahead> {
        let sessions = self.sessions();
        let binding = sessions.context().device_binding()?;
        let is_possible = request.method == "POST"
            && self.part == Part::Commits
            && sessions.token_transport() == TokenTransport::Cookie;
        let path = RequestLine::new(request.method, request.target).path();
        let endpoint = binding.endpoint(path).filter(|_| is_possible)?;
        let headers = request.headers;
        let host = request.authority.or_else(|| headers.text("host"));
        let request = DeviceRequest {
            endpoint,
            candidates: self.candidates(headers).into_owned(),
            format: ClientFormat::of(headers),
            id: headers.text("sec-secure-session-id").map(unquoted),
            proof: headers.text("secure-session-response").map(unquoted),
            origin: sessions.origins().own(host),
        };
        let context = self.clone();
        Some(Box::pin(async move { context.reply_to_device(request).await.map(Some) }))
    }

    async fn reply_to_device(&self, request: DeviceRequest) -> Result<ResponseParts, Error> {
        let DeviceRequest { endpoint, candidates, format, id, proof, origin } = request;
        let loaded = self.load(&candidates, Enforcement::WithoutDevice).await?;
        let fetch = FetchMetadata::IRRELEVANT;
        let session = self.get_or_insert_session(loaded, fetch, format, candidates.sent);
        // The browser sends these requests by itself.
        session.no_touch()?;
        let outcome = match endpoint {
            DeviceEndpoint::Registration => {
                session.register_device(&proof.unwrap_or_default()).await?
            }
            DeviceEndpoint::Refresh => match &id {
                Some(id) => session.refresh_device(id, proof.as_deref()),
                None => DeviceOutcome::Unknown,
            },
        };
        observe::device(outcome.name(), session.correlation_id());
        Ok(respond(&session, outcome, &id.unwrap_or_default(), origin.as_deref()))
    }
}

/// Returns the text of a structured field that is a string (RFC 9651, 3.3.3). Browsers have also sent it
/// without quotes. Parameters are ignored.
fn unquoted(field: &str) -> String {
    let field = field.trim();
    match field.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
        Some((text, _)) => text.to_owned(),
        None => field.split(';').next().unwrap_or_default().trim_end().to_owned(),
    }
}

/// Makes the response. A browser ends its side of the binding after most responses with a status of 4xx, and
/// tries again later after one with a status of 5xx.
fn respond(
    session: &Session,
    outcome: DeviceOutcome,
    id: &str,
    origin: Option<&str>,
) -> ResponseParts {
    let mut headers = vec![
        ("cache-control", Cow::Borrowed("no-store")),
        ("cross-origin-resource-policy", Cow::Borrowed("same-origin")),
    ];
    let context = session.sessions().context();
    let (status, body) = match (outcome, context.device_binding()) {
        (DeviceOutcome::Proven(device), Some(binding)) => {
            headers.push(("set-cookie", binding.issue(&device, context.now()).into()));
            (200, Some(binding.instructions(&device, origin)))
        }
        (DeviceOutcome::Challenged(challenge), _) => {
            headers.push(("secure-session-challenge", challenge.into()));
            (403, None)
        }
        (DeviceOutcome::Moved, _) => (503, None),
        (DeviceOutcome::Refused(refusal), _) => {
            (400, Some(json!({ "error": refusal.code() }).to_string()))
        }
        (DeviceOutcome::Unknown | DeviceOutcome::Proven(_), _) => {
            (200, Some(json!({ "session_identifier": id, "continue": false }).to_string()))
        }
    };
    let content = body.map(|body| ("application/json", body));
    ResponseParts { status, headers, content, ..ResponseParts::default() }
}

impl DeviceOutcome {
    fn name(&self) -> &'static str {
        match self {
            Self::Proven(_) => "proven",
            Self::Challenged(_) => "challenged",
            Self::Unknown => "unknown",
            Self::Moved => "moved",
            Self::Refused(refusal) => DeviceRefusal::code(*refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_field_has_no_quotes_and_no_parameters() {
        for field in ["\"a.b-c\"", "a.b-c", " \"a.b-c\";x=1", "a.b-c;x=1"] {
            assert_eq!(unquoted(field), "a.b-c", "{field}");
        }
    }
}
