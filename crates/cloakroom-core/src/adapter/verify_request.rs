//! The CSRF check of one request, which an adapter's CSRF layer runs.

use bytes::Bytes;

use crate::web::csrf::{CsrfPolicy, CsrfRejection, Verdict, policy::asks_for_websocket};
use crate::{
    adapter::{
        body::{self, BodyError},
        context::RequestContext,
        error::AdapterError,
        stack::ContextStack,
    },
    form::{FormError, FormInput, is_form},
    http::headers::Headers,
    observe,
    session::Session,
};

impl CsrfPolicy {
    /// Checks a request by its method and headers, and by its token if these do not decide.
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
    /// read. In [log-only mode](Self::log_only), only a broken body is refused.
    pub async fn verify_request(
        &self,
        method: &str,
        headers: &(impl Headers + ?Sized),
        authority: Option<&str>,
        stack: &ContextStack,
        body: impl Future<Output = Result<Bytes, BodyError>>,
    ) -> Result<(), AdapterError> {
        // Browsers do not send a bearer token by themselves, so a request that has no other token
        // cannot be forged.
        let Some(context) = stack.cookie() else { return Ok(()) };
        let scheme = context.sessions().transport();
        let place = match self.check(method, headers, authority, scheme) {
            Verdict::Pass => return Ok(()),
            Verdict::Refused(refusal) => return self.refuse(refusal.into()),
            Verdict::NeedsToken(Some(token)) => TokenPlace::Header(token),
            Verdict::NeedsToken(None) => match FormBody::of(headers) {
                FormBody::Absent => return self.refuse(CsrfRejection::MissingToken.into()),
                // It could turn out to be too long to be kept until the handler reads it.
                FormBody::OfUnknownLength if !self.enforces() => return Ok(()),
                form => TokenPlace::Form(form),
            },
        };
        let Some(session) = self.load(context, headers).await? else { return Ok(()) };
        if !session.came_with_token() {
            return self.refuse(CsrfRejection::NoSession.into());
        }
        let token = match place {
            TokenPlace::Header(token) => Ok(token),
            TokenPlace::Form(form) => self.token_in_form(form, headers, stack, body).await,
        };
        match token {
            Ok(token) if session.verify_csrf_token(&token) => Ok(()),
            Ok(_) => self.refuse(CsrfRejection::BadToken.into()),
            Err(failure) => self.refuse(failure),
        }
    }

    /// Loads the session whose token is wanted. Returns `None` if it cannot be loaded and the policy
    /// only logs.
    async fn load(
        &self,
        context: &RequestContext,
        headers: &(impl Headers + ?Sized),
    ) -> Result<Option<Session>, AdapterError> {
        match context.session(headers).await {
            Ok(session) => Ok(Some(session)),
            Err(error) if self.enforces() => Err(AdapterError::NotLoaded(error)),
            Err(error) => {
                observe::csrf_unchecked(&error);
                Ok(None)
            }
        }
    }

    /// Reads the form and returns the token in it. Captures the form for the handler.
    async fn token_in_form(
        &self,
        form: FormBody,
        headers: &(impl Headers + ?Sized),
        stack: &ContextStack,
        body: impl Future<Output = Result<Bytes, BodyError>>,
    ) -> Result<String, AdapterError> {
        let limit = self.form_limit();
        match form {
            FormBody::Encoded(error) => return Err(AdapterError::NotAForm(error)),
            FormBody::OfLength(length) if length > limit => {
                return Err(AdapterError::BodyTooLarge { limit: Some(limit) });
            }
            FormBody::Absent | FormBody::OfLength(_) | FormBody::OfUnknownLength => (),
        }
        let body = body.await.map_err(|error| error.into_failure(Some(limit)))?;
        let input = body::parse(headers, body).await?;
        let token = input.csrf_token().map(ToOwned::to_owned);
        // Handlers take the form from the innermost layer, which may be one for bearer tokens.
        stack.current().capture(input);
        token.ok_or_else(|| CsrfRejection::MissingToken.into())
    }

    fn refuse(&self, failure: AdapterError) -> Result<(), AdapterError> {
        observe::forged(failure.code(), self.enforces());
        if self.enforces() { Err(failure) } else { Ok(()) }
    }
}

/// The place of a request's token.
enum TokenPlace {
    Header(String),
    Form(FormBody),
}

/// The request's form, as its headers describe it.
enum FormBody {
    /// The body is not a form.
    Absent,
    /// The form is compressed.
    Encoded(FormError),
    /// The form has this many bytes.
    OfLength(usize),
    /// The headers do not say how long the form is.
    OfUnknownLength,
}

impl FormBody {
    fn of(headers: &(impl Headers + ?Sized)) -> Self {
        // The bytes after such a request belong to the other protocol and end with the connection.
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
