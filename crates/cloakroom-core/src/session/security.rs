//! What protects a form, and where to go after signing in.

use std::time::Duration;

use crate::session::Session;
use crate::{error::Error, http::redirect::local_target};
use cloakroom_store::clock::Timestamp;

/// Where the intended URL is kept among the values.
const INTENDED_URL: &str = "_intended_url";
/// Where the moment of the last proof is kept among the values.
const AUTHENTICATED_AT: &str = "_authenticated_at";

impl Session {
    /// Returns a token that proves that a form came from a page of this session. It looks different
    /// every time and is valid as long as the session has its token. A page that shows it to a visitor
    /// without a session sets a cookie and stores no record:
    /// [`csrf`](crate::csrf#pages-for-visitors-without-a-session).
    ///
    /// Forms take it from [`View::csrf_field`](crate::View::csrf_field); scripts send it in the
    /// header `X-CSRF-Token`.
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

    /// Whether `submitted` was made by [`csrf_token`](Self::csrf_token) for the session that this
    /// request came with. A request without a session has no proof.
    ///
    /// CSRF layers call it; handlers behind one need not.
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

    /// Returns whether the request's cookie named a session, which may have ended a moment ago, or a
    /// pre-session.
    pub(crate) fn came_with_token(&self) -> bool {
        self.state().work.request_token().is_some()
    }

    /// Notes that the visitor has just proved who they are: at sign-in, and whenever they give their
    /// password again. What [`authenticated_within`](Self::authenticated_within) goes by.
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
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn mark_authenticated(&self) -> Result<(), Error> {
        self.put(AUTHENTICATED_AT, self.sessions().context().now())
    }

    /// Whether the visitor has proved who they are within the last `span`: to be asked before what
    /// needs more than an open browser, such as a change of password ("step-up"; OWASP ASVS 5.0,
    /// 7.5.1). If not, ask for the password again.
    ///
    /// # Errors
    /// When the application has put something else under the key `_authenticated_at`.
    pub fn authenticated_within(&self, span: Duration) -> Result<bool, Error> {
        let at: Option<Timestamp> = self.get(AUTHENTICATED_AT)?;
        Ok(at.is_some_and(|at| self.sessions().context().now() < at + span))
    }

    /// Remembers where the visitor wanted to go, for after signing in. Answers whether it did: a
    /// URL that leaves this site is not kept.
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
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn set_intended_url(&self, url: &str) -> Result<bool, Error> {
        let Some(target) = local_target(url, None) else { return Ok(false) };
        self.put(INTENDED_URL, target)?;
        Ok(true)
    }

    /// Where the visitor wanted to go, once; `default` where nothing is remembered.
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn pull_intended_url(&self, default: &str) -> Result<String, Error> {
        let intended: Option<String> = self.pull(INTENDED_URL)?;
        Ok(intended.unwrap_or_else(|| default.to_owned()))
    }
}
