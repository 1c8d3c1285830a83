//! CSRF tokens, recent proofs of identity, and the URL to return to after signing in.

use std::time::Duration;

use crate::{
    error::Error,
    http::redirect::SeeOther,
    session::Session,
    values::reserved::{AUTHENTICATED_AT, INTENDED_URL},
};
use cloakroom_store::clock::Timestamp;

impl Session {
    /// Returns a token that proves that a form came from a page of this session.
    ///
    /// Use [`View::csrf_field`](crate::View::csrf_field) in forms. Send the token in the header
    /// `X-CSRF-Token` from scripts.
    ///
    /// Each call returns a different token. All of them are valid until the session is regenerated or
    /// ends. If the visitor has no session, the page sets a cookie and stores no record:
    /// [`csrf`](crate::csrf#pages-for-visitors-without-a-session).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert_ne!(session.csrf_token(), session.csrf_token());
    /// ```
    pub fn csrf_token(&self) -> String {
        let mut state = self.state();
        state.work.require(self.sessions().worth_of_csrf_token());
        self.sessions().context().csrf().issue(state.work.token_afterwards())
    }

    /// Returns whether `submitted` is a token of the session that the request's cookie identifies.
    /// Returns `false` for a request without a session.
    ///
    /// CSRF layers call it, so handlers behind such a layer need not.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(!session.verify_csrf_token("made up"));
    /// ```
    pub fn verify_csrf_token(&self, submitted: &str) -> bool {
        let state = self.state();
        let token = state.work.request_token();
        token.is_some_and(|token| self.sessions().context().csrf().verify(token, submitted))
    }

    /// Returns whether the request's cookie identifies a session or a pre-session. A session that ended
    /// a short time ago counts.
    pub(crate) fn came_with_token(&self) -> bool {
        self.state().work.request_token().is_some()
    }

    /// Stores the current time as the moment at which the visitor proved their identity. Call it at
    /// sign-in, and after each check of the password.
    ///
    /// [`authenticated_within`](Self::authenticated_within) compares with this moment.
    ///
    /// With [`device_binding`](crate::SessionsBuilder::device_binding), the response asks the browser to
    /// register its device, unless the request comes from the one that the session is bound to. With `require`,
    /// a request without that device has no session, and only a [`sign_in`](Self::sign_in) asks.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # let session = cloakroom::testing::session();
    /// assert!(!session.authenticated_within(Duration::from_secs(600))?);
    /// session.mark_authenticated()?;
    /// assert!(session.authenticated_within(Duration::from_secs(600))?);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn mark_authenticated(&self) -> Result<(), Error> {
        self.ask_for_device()?;
        self.put_reserved(AUTHENTICATED_AT, self.now())
    }

    /// Returns whether the visitor has proved their identity within the last `span`.
    ///
    /// Check it before sensitive operations, such as a change of the password ("step-up"; OWASP ASVS
    /// 5.0, 7.5.1). If it returns `false`, ask for the password and call
    /// [`mark_authenticated`](Self::mark_authenticated).
    ///
    /// Returns `false` as well if the session is bound to a device, the policy
    /// [`device_binding`](crate::SessionsBuilder::device_binding) is `sensitive` or `require`, and the request
    /// does not come from the device.
    ///
    /// # Errors
    /// When the stored moment cannot be read.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use std::time::Duration;
    /// # let session = cloakroom::testing::session();
    /// let may_change_password = session.authenticated_within(Duration::from_secs(600))?;
    /// assert!(!may_change_password, "the visitor has not signed in");
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn authenticated_within(&self, span: Duration) -> Result<bool, Error> {
        if self.lacks_device() {
            return Ok(false);
        }
        let at: Option<Timestamp> = self.get(AUTHENTICATED_AT)?;
        Ok(at.is_some_and(|at| self.now() < at + span))
    }

    /// Stores the URL to which the visitor returns after signing in: a path of this site, with its query, or
    /// a URL of a [trusted origin](crate::SessionsBuilder::trusted_origins). Returns `false`, and stores
    /// nothing, for anything else.
    ///
    /// An absolute URL of this site is accepted if the setting
    /// [`public_origin`](crate::SessionsBuilder::public_origin) names it, because a session does not know the
    /// request's host. [`SiteOrigins::redirect_target`](crate::SiteOrigins::redirect_target) makes a path of
    /// such a URL.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// # Security
    /// The check prevents open redirects, so `url` may come from the request.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.set_intended_url("/account?tab=2")?);
    /// assert!(!session.set_intended_url("https://evil.example/")?);
    /// assert_eq!(session.pull_intended_url("/")?, "/account?tab=2");
    /// assert_eq!(session.pull_intended_url("/")?, "/");
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn set_intended_url(&self, url: &str) -> Result<bool, Error> {
        let Some(target) = self.checked_target(url) else { return Ok(false) };
        self.put_reserved(INTENDED_URL, target)?;
        Ok(true)
    }

    /// Returns the stored URL and keeps it. A sign-in page can tell the visitor why they see it.
    ///
    /// # Errors
    /// When the stored URL cannot be read.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.set_intended_url("/account")?;
    /// assert_eq!(session.intended_url()?.as_deref(), Some("/account"));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn intended_url(&self) -> Result<Option<String>, Error> {
        Ok(self.get(INTENDED_URL)?.and_then(|url: String| self.checked_target(&url)))
    }

    /// Removes the stored URL and returns it. Returns `default` if there is none, or if its origin is no longer
    /// trusted.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.set_intended_url("/account")?;
    /// assert_eq!(session.pull_intended_url("/")?, "/account");
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn pull_intended_url(&self, default: &str) -> Result<String, Error> {
        Ok(self.pull_intended()?.unwrap_or_else(|| default.to_owned()))
    }

    /// Returns a redirect to the [intended URL](Self::set_intended_url) and forgets it. Without one, the
    /// redirect leads to `default`, a path of this site. Use it as the response to a sign-in.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{Error, SeeOther, Session};
    ///
    /// async fn sign_in(session: Session) -> Result<SeeOther, Error> {
    ///     session.sign_in("user-42")?;
    ///     session.redirect_intended("/")
    /// }
    /// ```
    pub fn redirect_intended(&self, default: &str) -> Result<SeeOther, Error> {
        let intended = self.pull_intended()?;
        Ok(intended.map_or_else(|| SeeOther::to(default), SeeOther::to_checked))
    }

    fn pull_intended(&self) -> Result<Option<String>, Error> {
        Ok(self.pull(INTENDED_URL)?.and_then(|url: String| self.checked_target(&url)))
    }

    fn checked_target(&self, url: &str) -> Option<String> {
        self.sessions().origins().redirect_target(url, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapter::RequestContext,
        crypto::app_keys::AppKeys,
        session::sessions::{Driver, Sessions},
    };

    async fn session() -> Session {
        let origin = |text: &str| text.parse().unwrap();
        let sessions = Sessions::builder(Driver::Cookie, AppKeys::random())
            .public_origin(origin("https://example.org"))
            .trusted_origins([origin("https://admin.example.org")])
            .build()
            .unwrap();
        let no_headers: &[(&str, &str)] = &[];
        RequestContext::new(&sessions).session(no_headers).await.unwrap()
    }

    #[tokio::test]
    async fn an_intended_url_is_on_this_site_or_a_trusted_origin() {
        let session = session().await;
        for (url, stored) in [
            ("/account?tab=2", Some("/account?tab=2")),
            ("https://example.org/account", Some("/account")),
            ("https://admin.example.org/users", Some("https://admin.example.org/users")),
            ("http://admin.example.org/users", None),
            ("https://evil.example/", None),
            ("//evil.example/", None),
        ] {
            assert_eq!(session.set_intended_url(url).unwrap(), stored.is_some(), "{url}");
            assert_eq!(session.pull_intended_url("/").unwrap(), stored.unwrap_or("/"), "{url}");
        }
    }

    /// The list of origins can be shorter than when the URL was stored.
    #[tokio::test]
    async fn a_stored_url_is_checked_again() {
        let session = session().await;
        session.put_reserved(INTENDED_URL, "https://former.example/").unwrap();
        assert_eq!(session.pull_intended_url("/start").unwrap(), "/start");
    }
}
