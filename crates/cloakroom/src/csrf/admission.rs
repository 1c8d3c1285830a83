//! The whole check of one request: what an adapter's CSRF layer runs.

use super::{CsrfPolicy, Refusal, Verdict};
use crate::{Visits, error::Error, form::is_form, observe, request::Headers};

/// Why a request is not let through.
#[derive(Debug)]
pub enum Denied<E> {
    /// It may be forged: answer 403, its text, and [`Refusal::VARY`].
    Forged(Refusal),
    /// Its session could not be loaded: answer [`Error::http_status`].
    NotLoaded(Error),
    /// Its form could not be read, for the adapter's own reason.
    Unreadable(E),
}

impl CsrfPolicy {
    /// Judges a request by its method and headers, and where these are not enough by its token.
    ///
    /// `capture_form` is run only where the token has to be looked for in the form: it reads the
    /// body, [captures](crate::Visit::capture) the form if it is one, and leaves the body to be read again. A
    /// policy that [only logs](Self::log_only) lets pass unread, and unjudged, what is no form or long.
    ///
    /// # Errors
    /// When the request must not reach the handler.
    pub async fn admit<E>(
        &self,
        method: &str,
        headers: &(impl Headers + ?Sized),
        authority: Option<&str>,
        visits: &Visits,
        capture_form: impl Future<Output = Result<(), E>>,
    ) -> Result<(), Denied<E>> {
        // A bearer token is not sent by browsers, so a request that has no other cannot be forged.
        let Some(visit) = visits.cookie() else { return Ok(()) };
        let token = match self.check(method, headers, authority, visit.sessions().transport()) {
            Verdict::Pass => return Ok(()),
            Verdict::Refused(refusal) => return self.refuse(refusal),
            Verdict::NeedsToken(Some(token)) => Some(token),
            Verdict::NeedsToken(None) if !self.enforces() && !is_short_form(headers) => {
                return Ok(());
            }
            Verdict::NeedsToken(None) => {
                capture_form.await.map_err(Denied::Unreadable)?;
                // Adapters capture the form for the innermost layer, which may be one for bearer tokens.
                let input = visits.innermost().input();
                input.and_then(|input| input.csrf_token().map(ToOwned::to_owned))
            }
        };
        let Some(token) = token else { return self.refuse(Refusal::MissingToken) };
        let session = visit.session(headers).await.map_err(Denied::NotLoaded)?;
        if session.verify_csrf_token(&token) { Ok(()) } else { self.refuse(Refusal::BadToken) }
    }

    fn refuse<E>(&self, refusal: Refusal) -> Result<(), Denied<E>> {
        observe::forged(refusal.reason(), self.enforces());
        if self.enforces() { Err(Denied::Forged(refusal)) } else { Ok(()) }
    }
}

/// What any framework reads by its defaults.
const SHORT: usize = 256 * 1024;

/// Whether the body is a form that can be read without refusing the request for it.
fn is_short_form(headers: &(impl Headers + ?Sized)) -> bool {
    let length = headers.text("content-length").and_then(|length| length.parse().ok());
    is_form(headers.text("content-type").unwrap_or_default())
        && length.is_some_and(|length: usize| length <= SHORT)
}
