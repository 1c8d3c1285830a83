//! The whole check of one request: what an adapter's CSRF layer runs.

use bytes::Bytes;

use crate::web::csrf::{CsrfPolicy, CsrfRejection, Verdict, policy::asks_for_websocket};
use crate::{
    adapter::{body::BodyError, error::AdapterError, stack::ContextStack},
    form::{FormError, FormInput, is_form},
    http::headers::Headers,
    observe,
};

impl CsrfPolicy {
    /// Checks a request by its method and headers, and where these do not decide by its token.
    ///
    /// `body` reads the request's body as it came, without decompressing it. It fails if there are more
    /// than [`form_limit`](Self::form_limit) bytes, and restores the body for the handler. It runs only
    /// if the cookie names a session, the body is a form, and the headers have no token. The form is
    /// [captured](crate::adapter::RequestContext::capture).
    ///
    /// # Errors
    /// When the request must not reach the handler: [`AdapterError::Forged`], [`AdapterError::NotLoaded`],
    /// [`AdapterError::BodyTooLarge`], [`AdapterError::BodyBroken`], or [`AdapterError::NotAForm`] where the token
    /// would be in a form that is compressed or cannot be read. A policy that
    /// [only logs](Self::log_only) refuses a broken body only.
    pub async fn verify_request(
        &self,
        method: &str,
        headers: &(impl Headers + ?Sized),
        authority: Option<&str>,
        visits: &ContextStack,
        body: impl Future<Output = Result<Bytes, BodyError>>,
    ) -> Result<(), AdapterError> {
        // A bearer token is not sent by browsers, so a request that has no other cannot be forged.
        let Some(visit) = visits.cookie() else { return Ok(()) };
        let sent = match self.check(method, headers, authority, visit.sessions().transport()) {
            Verdict::Pass => return Ok(()),
            Verdict::Refused(refusal) => return self.refuse(refusal.into()),
            Verdict::NeedsToken(sent) => sent,
        };
        let form = FormBody::of(headers);
        match form {
            _ if sent.is_some() => (),
            FormBody::Absent => return self.refuse(CsrfRejection::MissingToken.into()),
            // It could turn out to be too long to be kept until the handler reads it.
            FormBody::OfUnknownLength if !self.enforces() => return Ok(()),
            FormBody::Encoded(_) | FormBody::OfUnknownLength | FormBody::OfLength(_) => (),
        }
        let session = match visit.session(headers).await {
            Ok(session) => session,
            Err(error) if self.enforces() => return Err(AdapterError::NotLoaded(error)),
            Err(error) => {
                observe::csrf_unchecked(&error);
                return Ok(());
            }
        };
        if !session.came_with_token() {
            return self.refuse(CsrfRejection::NoSession.into());
        }
        let token = match (sent, form) {
            (Some(token), _) => Ok(token),
            (None, FormBody::Encoded(error)) => Err(AdapterError::NotAForm(error)),
            (None, FormBody::OfLength(length)) if length > self.form_limit() => {
                Err(AdapterError::BodyTooLarge { limit: Some(self.form_limit()) })
            }
            (None, _) => {
                let body = body.await;
                let body = body.map_err(|error| error.into_failure(Some(self.form_limit())))?;
                token_in_form(headers, visits, body).await
            }
        };
        match token {
            Ok(token) if session.verify_csrf_token(&token) => Ok(()),
            Ok(_) => self.refuse(CsrfRejection::BadToken.into()),
            Err(failure) => self.refuse(failure),
        }
    }

    fn refuse(&self, failure: AdapterError) -> Result<(), AdapterError> {
        observe::forged(failure.code(), self.enforces());
        if self.enforces() { Err(failure) } else { Ok(()) }
    }
}

/// Returns the token in a form, which is captured for the handler.
async fn token_in_form(
    headers: &(impl Headers + ?Sized),
    visits: &ContextStack,
    body: Bytes,
) -> Result<String, AdapterError> {
    let input = FormInput::parse(headers.text("content-type"), body).await;
    let input = input.map_err(AdapterError::NotAForm)?;
    let token = input.csrf_token().map(ToOwned::to_owned);
    // Handlers take the form from the innermost layer, which may be one for bearer tokens.
    visits.current().capture(input);
    token.ok_or_else(|| CsrfRejection::MissingToken.into())
}

/// A body in which the token may be, according to the headers.
enum FormBody {
    /// There is no form.
    Absent,
    /// A form that cannot be read as it came.
    Encoded(FormError),
    /// A form of so many bytes.
    OfLength(usize),
    /// A form that does not say how long it is.
    OfUnknownLength,
}

impl FormBody {
    fn of(headers: &(impl Headers + ?Sized)) -> Self {
        // What follows such a request is the other protocol and ends with the connection.
        let is_upgrade = asks_for_websocket(headers);
        if is_upgrade || !headers.text("content-type").is_some_and(is_form) {
            return Self::Absent;
        }
        if let Err(error) = FormInput::check_encoding(headers) {
            return Self::Encoded(error);
        }
        let length = headers.text("content-length");
        match length.map(|length| length.parse().unwrap_or(usize::MAX)) {
            Some(length) => Self::OfLength(length),
            None => Self::OfUnknownLength,
        }
    }
}
