//! The CSRF check of one request, which an adapter's CSRF layer runs.

use bytes::Bytes;

use crate::web::csrf::{CsrfPolicy, CsrfRejection, Verdict, policy::asks_for_websocket};
use crate::{
    adapter::{
        body::BodyError,
        context::{Csrf, RequestContext},
        error::AdapterError,
        stack::ContextStack,
    },
    error::Error,
    form::{ContentType, FormInput},
    http::headers::Headers,
    observe,
};

impl CsrfPolicy {
    /// Checks a request by its method and headers, and by its token if these do not decide. The token is
    /// that of the innermost session layer around the CSRF layer whose token travels in a cookie.
    ///
    /// `body` reads the request's body as it came, without decompressing it. It fails if the body has
    /// more than [`form_limit`](Self::form_limit) bytes, and restores the body for the handler. It runs
    /// only if the cookie names a session, the body is a form, and the headers have no token. The form
    /// is [captured](crate::adapter::RequestContext::capture).
    ///
    /// # Errors
    /// When the request must not reach the handler: [`AdapterError::Forged`],
    /// [`AdapterError::NotLoaded`], [`AdapterError::BodyTooLarge`], [`AdapterError::BodyBroken`], or
    /// [`AdapterError::NotAForm`] if the form that should have the token is compressed or cannot be
    /// read. A policy that [only logs](Self::log_only) refuses a body alone that `body` fails to read,
    /// because the handler would get the rest of it.
    pub async fn verify_request(
        &self,
        method: &str,
        headers: &(impl Headers + ?Sized),
        authority: Option<&str>,
        stack: &ContextStack,
        body: impl Future<Output = Result<Bytes, BodyError>>,
    ) -> Result<(), AdapterError> {
        let Some(context) = stack.cookie() else {
            // Browsers do not send a bearer token by themselves, so a request that has no other token
            // cannot be forged. A layer for cookies further inside is an error of the application.
            stack.current().progress().csrf = Csrf::FoundNoCookie;
            return Ok(());
        };
        context.progress().csrf = Csrf::Checks;
        let origins = context.sessions().origins();
        let judged = match self.check(method, headers, authority, origins) {
            Verdict::Pass => return Ok(()),
            Verdict::Refused(refusal) => Err(refusal.into()),
            Verdict::NeedsToken(token) => self.judge(token, headers, context, stack, body).await,
        };
        judged.or_else(|failure| self.refuse(failure))
    }

    /// Checks the token of a request, `in_header` or in its form.
    async fn judge(
        &self,
        in_header: Option<String>,
        headers: &(impl Headers + ?Sized),
        context: &RequestContext,
        stack: &ContextStack,
        body: impl Future<Output = Result<Bytes, BodyError>>,
    ) -> Result<(), Unproven> {
        if in_header.is_none() {
            if !has_form(headers) {
                return Err(CsrfRejection::MissingToken.into());
            }
            // It could turn out to be too long to be kept until the handler reads it.
            if !self.enforces() && headers.text("content-length").is_none() {
                return Ok(());
            }
        }
        let session = context.session(headers).await.map_err(Unproven::NotLoaded)?;
        if !session.came_with_token() {
            return Err(CsrfRejection::NoSession.into());
        }
        let token = match in_header {
            Some(token) => token,
            None => self.token_in_form(headers, stack, body).await?,
        };
        if session.verify_csrf_token(&token) { Ok(()) } else { Err(CsrfRejection::BadToken.into()) }
    }

    /// Reads the form and returns the token in it. Captures the form for the handler.
    async fn token_in_form(
        &self,
        headers: &(impl Headers + ?Sized),
        stack: &ContextStack,
        body: impl Future<Output = Result<Bytes, BodyError>>,
    ) -> Result<String, Unproven> {
        let limit = Some(self.form_limit());
        FormInput::check_encoding(headers).map_err(AdapterError::NotAForm)?;
        let length = headers.text("content-length").map(|length| length.parse().ok());
        if length.is_some_and(|length| length.is_none_or(|length| Some(length) > limit)) {
            return Err(AdapterError::BodyTooLarge { limit }.into());
        }
        let body = body.await.map_err(|error| Unproven::Unreadable(error.into_failure(limit)))?;
        let input = FormInput::parse(headers, body).await.map_err(AdapterError::NotAForm)?;
        let token = input.csrf_token().map(ToOwned::to_owned);
        // Handlers take the form from the innermost layer, which may be one for bearer tokens.
        stack.current().capture(input);
        token.ok_or_else(|| CsrfRejection::MissingToken.into())
    }

    /// Logs why a request is refused. Returns `Ok` if the policy only logs and the handler can still get
    /// the whole request.
    fn refuse(&self, failure: Unproven) -> Result<(), AdapterError> {
        match failure {
            Unproven::Refused(failure) => {
                let explanation = failure.explanation();
                observe::forged(failure.code(), explanation, self.enforces());
                if self.enforces() { Err(failure) } else { Ok(()) }
            }
            Unproven::NotLoaded(error) if self.enforces() => Err(AdapterError::NotLoaded(error)),
            Unproven::NotLoaded(error) => {
                observe::csrf_unchecked(&error);
                Ok(())
            }
            Unproven::Unreadable(failure) => {
                observe::unreadable_form(failure.code());
                Err(failure)
            }
        }
    }
}

/// The reason why a request has no valid token.
enum Unproven {
    Refused(AdapterError),
    NotLoaded(Error),
    /// The body was read in part, so the handler cannot get it.
    Unreadable(AdapterError),
}

impl From<AdapterError> for Unproven {
    fn from(failure: AdapterError) -> Self {
        Self::Refused(failure)
    }
}

impl From<CsrfRejection> for Unproven {
    fn from(refusal: CsrfRejection) -> Self {
        Self::Refused(refusal.into())
    }
}

/// Returns whether the body is a form, which may have a token.
fn has_form(headers: &(impl Headers + ?Sized)) -> bool {
    // The bytes after a handshake belong to the other protocol and end with the connection.
    !asks_for_websocket(headers) && ContentType::of(headers).is_form()
}
