//! The whole check of one request: what an adapter's CSRF layer runs.

use bytes::Bytes;

use super::{CsrfPolicy, Refusal, Verdict, policy::asks_for_websocket};
use crate::{
    Visits,
    form::{BodyError, FormInput, is_form},
    observe,
    request::Headers,
    visit::Failure,
};

impl CsrfPolicy {
    /// Checks a request by its method and headers, and where these do not decide by its token.
    ///
    /// `body` reads the request's body as it came, without decompressing it. It fails if there are more
    /// than [`form_limit`](Self::form_limit) bytes, and restores the body for the handler. It runs only
    /// if the cookie names a session, the body is a form, and the headers have no token. The form is
    /// [captured](crate::Visit::capture).
    ///
    /// # Errors
    /// When the request must not reach the handler: [`Failure::Forged`], [`Failure::NotLoaded`],
    /// [`Failure::BodyTooLarge`] or [`Failure::BodyBroken`]. A policy that
    /// [only logs](Self::log_only) refuses a broken body only.
    pub async fn admit(
        &self,
        method: &str,
        headers: &(impl Headers + ?Sized),
        authority: Option<&str>,
        visits: &Visits,
        body: impl Future<Output = Result<Bytes, BodyError>>,
    ) -> Result<(), Failure> {
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
            FormBody::Absent => return self.refuse(Refusal::MissingToken.into()),
            // It could turn out to be too long to be kept until the handler reads it.
            FormBody::OfUnknownLength if !self.enforces() => return Ok(()),
            FormBody::OfUnknownLength | FormBody::OfLength(_) => (),
        }
        let session = match visit.session(headers).await {
            Ok(session) => session,
            Err(error) if self.enforces() => return Err(Failure::NotLoaded(error)),
            Err(error) => {
                observe::csrf_unchecked(&error);
                return Ok(());
            }
        };
        if !session.came_with_token() {
            return self.refuse(Refusal::NoSession.into());
        }
        let token = match sent {
            Some(token) => Some(token),
            None if form.is_longer_than(self.form_limit()) => {
                return self.refuse(Failure::BodyTooLarge { limit: Some(self.form_limit()) });
            }
            None => self.token_in_form(headers, visits, body).await?,
        };
        match token {
            None => self.refuse(Refusal::MissingToken.into()),
            Some(token) if session.verify_csrf_token(&token) => Ok(()),
            Some(_) => self.refuse(Refusal::BadToken.into()),
        }
    }

    async fn token_in_form(
        &self,
        headers: &(impl Headers + ?Sized),
        visits: &Visits,
        body: impl Future<Output = Result<Bytes, BodyError>>,
    ) -> Result<Option<String>, Failure> {
        let body = body.await.map_err(|error| error.into_failure(Some(self.form_limit())))?;
        // A form that cannot be read has no token; the handler's extractor says what is wrong with it.
        let Ok(input) = FormInput::parse(headers.text("content-type"), body).await else {
            return Ok(None);
        };
        let token = input.csrf_token().map(ToOwned::to_owned);
        // Handlers take the form from the innermost layer, which may be one for bearer tokens.
        visits.innermost().capture(input);
        Ok(token)
    }

    fn refuse(&self, failure: Failure) -> Result<(), Failure> {
        observe::forged(failure.code(), self.enforces());
        if self.enforces() { Err(failure) } else { Ok(()) }
    }
}

/// A body in which the token may be, according to the headers.
enum FormBody {
    /// There is no form, or none that can be read as it came.
    Absent,
    /// A form of so many bytes.
    OfLength(usize),
    /// A form that does not say how long it is.
    OfUnknownLength,
}

impl FormBody {
    fn is_longer_than(&self, limit: usize) -> bool {
        matches!(self, Self::OfLength(length) if *length > limit)
    }

    fn of(headers: &(impl Headers + ?Sized)) -> Self {
        let is_encoded = FormInput::check_encoding(headers).is_err();
        // What follows such a request is the other protocol and ends with the connection.
        let is_upgrade = asks_for_websocket(headers);
        if is_encoded || is_upgrade || !headers.text("content-type").is_some_and(is_form) {
            return Self::Absent;
        }
        let length = headers.text("content-length");
        match length.map(|length| length.parse().unwrap_or(usize::MAX)) {
            Some(length) => Self::OfLength(length),
            None => Self::OfUnknownLength,
        }
    }
}
