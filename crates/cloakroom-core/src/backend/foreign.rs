//! The sessions of another library, which are taken over when their visitors come back.

use std::{fmt, sync::Arc, time::SystemTime};

use bytestring::ByteString;
use serde_json::Value;

use crate::{
    backend::{
        Backend,
        context::Context,
        decide::Persistence,
        is_revoked,
        loaded::LoadedSession,
        store::{StoreBackend, failed},
    },
    cookie::{self, CookieSettings, Cookies, ValueForm},
    crypto::{
        app_keys::{AppKeys, SubKey},
        token::Token,
    },
    error::{ConfigError, Error},
    observe,
    record::{Record, change::Change, owner::Owner, sign_in::SignIn},
    values::{Path, key::Key},
};
use cloakroom_store::{StoreError, async_trait, clock::Timestamp};

/// Reads the sessions of the library that an application used before, so that its visitors stay signed in
/// when it moves to this one.
///
/// [`SessionsBuilder::foreign_sessions`](crate::SessionsBuilder::foreign_sessions) says how a session is
/// taken over. [The guide](https://docs.rs/cloakroom/latest/cloakroom/guide/coming_from/) has complete
/// migrations.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{ForeignSession, ForeignSessions, SignIn, async_trait, store::StoreError};
///
/// /// The sessions of an application that kept them in its database.
/// struct OldTable;
///
/// # async fn select_user(_id: &str) -> Result<Option<String>, std::io::Error> { Ok(None) }
/// # async fn delete_row(_id: &str) -> Result<(), std::io::Error> { Ok(()) }
/// #[async_trait]
/// impl ForeignSessions for OldTable {
///     async fn find(&self, cookie: &str) -> Result<Option<ForeignSession>, StoreError> {
///         let user = select_user(cookie).await;
///         let user = user.map_err(|error| StoreError::unavailable("read the old sessions", error))?;
///         Ok(user.map(|user| ForeignSession::new([]).sign_in(SignIn::of(user))))
///     }
///
///     async fn remove(&self, cookie: &str) -> Result<(), StoreError> {
///         let deleted = delete_row(cookie).await;
///         deleted.map_err(|error| StoreError::unavailable("remove an old session", error))
///     }
/// }
/// ```
#[async_trait]
pub trait ForeignSessions: Send + Sync + 'static {
    /// Finds the session that a cookie of the other library identifies. `cookie` is its value as the browser
    /// sent it: it may be signed, encrypted or percent-encoded. Returns `None` if there is no live session.
    ///
    /// # Errors
    /// When the sessions are unavailable. The request then fails as if its session could not be loaded.
    ///
    /// # Security
    /// Verify what the other library verified: the signature of the cookie, and that the session has not
    /// expired.
    async fn find(&self, cookie: &str) -> Result<Option<ForeignSession>, StoreError>;

    /// Removes a session that was taken over into a store, so that its cookie does not sign in again after
    /// a sign-out. Called again if an earlier call may have failed. Default: does nothing, because a session
    /// that is itself in the cookie cannot be removed.
    ///
    /// # Errors
    /// When the sessions are unavailable. The request then fails, and the next one removes the session.
    async fn remove(&self, cookie: &str) -> Result<(), StoreError> {
        _ = cookie;
        Ok(())
    }
}

/// A session of another library: its values, and who is signed in.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{ForeignSession, SignIn};
/// use serde_json::json;
///
/// let session = ForeignSession::new([("cart".to_owned(), json!([7, 9]))]).sign_in(SignIn::of("user-42"));
/// ```
#[derive(Clone)]
#[must_use = "return it from `ForeignSessions::find`"]
pub struct ForeignSession {
    values: Vec<(String, Value)>,
    sign_in: Option<SignIn>,
}

impl ForeignSession {
    /// Makes a session with these values. A dot in a name is an ordinary letter. A value whose name or
    /// nesting exceeds the [limits](crate::Session::put), or that only this library writes, is left out with a
    /// warning.
    pub fn new(values: impl IntoIterator<Item = (String, Value)>) -> Self {
        Self { values: values.into_iter().collect(), sign_in: None }
    }

    /// Sets who is signed in. The timeouts begin at the takeover. The sign-in does not count as a proof of
    /// identity ([`Session::authenticated_within`](crate::Session::authenticated_within)), because it was
    /// some time ago.
    pub fn sign_in(mut self, sign_in: impl Into<SignIn>) -> Self {
        self.sign_in = Some(sign_in.into());
        self
    }

    /// Makes the record of the session whose token is `token`.
    fn into_record(self, token: &Token, context: &Context) -> Record {
        let mut record = context.empty_record();
        for (name, value) in self.values {
            let put = Path::for_write(&Key::literal(&name)).and_then(|path| {
                let value = ByteString::from(value.to_string());
                Change::Put { path: path.to_owned(), value }.apply(&mut record)
            });
            if let Err(error) = put {
                tracing::warn!(%error, "a value of another library's session was not taken over");
            }
        }
        if let Some(sign_in) = self.sign_in {
            let owner = Owner::new(&sign_in.owner, record.created, token.record_key().tag());
            for change in sign_in.changes(owner, context.lifetimes()) {
                // These changes set members of the record and cannot fail.
                drop(change.apply(&mut record));
            }
        }
        record
    }
}

/// Shows how many values there are, and hides them.
impl fmt::Debug for ForeignSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, sign_in) = (self.values.len(), &self.sign_in);
        write!(f, "ForeignSession({count} values, sign_in: {sign_in:?})")
    }
}

/// The other library's sessions, and how its cookie is read and removed.
pub(crate) struct Foreign {
    sessions: Arc<dyn ForeignSessions>,
    cookies: Cookies,
    until: Timestamp,
    key: SubKey,
}

/// The settings of a [`Foreign`], before they are checked.
pub(crate) struct ForeignSettings {
    pub(crate) cookie: CookieSettings,
    pub(crate) until: SystemTime,
    pub(crate) sessions: Arc<dyn ForeignSessions>,
}

impl Foreign {
    /// # Errors
    /// When browsers would refuse the removal of the cookie.
    pub(crate) fn new(settings: ForeignSettings, keys: &AppKeys) -> Result<Self, ConfigError> {
        let ForeignSettings { cookie, until, sessions } = settings;
        let cookies = Cookies::new(cookie, ValueForm::Token)?;
        Ok(Self { sessions, cookies, until: until.into(), key: keys.derive("foreign session") })
    }

    pub(crate) fn cookie_name(&self) -> &str {
        self.cookies.name()
    }

    /// Returns the value of the other library's cookie, until sessions are no longer taken over.
    pub(crate) fn cookie<'h>(
        &self,
        headers: impl Iterator<Item = &'h [u8]>,
        now: Timestamp,
    ) -> Option<&'h str> {
        let value = cookie::only_value(headers, self.cookies.name())?;
        std::str::from_utf8(value).ok().filter(|value| !value.is_empty() && now < self.until)
    }

    /// Returns the `Set-Cookie` lines that remove the cookie.
    pub(crate) fn removal(&self) -> Vec<String> {
        self.cookies.remove(&[])
    }

    /// Finds the session of a cookie. Returns `None` as well if it is empty, or its owner's sign-ins are
    /// rejected.
    async fn find(
        &self,
        cookie: &str,
        token: &Token,
        context: &Context,
    ) -> Result<Option<Record>, Error> {
        let found = self.sessions.find(cookie).await;
        let found = found.map_err(|cause| failed("read a session of another library", cause))?;
        let record = found.map(|found| found.into_record(token, context));
        match record.filter(|record| !record.is_empty()) {
            Some(record) if !is_revoked(&record, context).await? => Ok(Some(record)),
            _ => Ok(None),
        }
    }

    async fn remove(&self, cookie: &str) -> Result<(), Error> {
        let removed = self.sessions.remove(cookie).await;
        removed.map_err(|cause| failed("remove a session of another library", cause))
    }
}

impl Backend {
    /// Loads the session of a request that has a cookie of another library and none of this one.
    ///
    /// On a store, the token is derived from the cookie. So concurrent requests, and a browser that has not
    /// received the first response, find the session that was taken over before. The other library's record
    /// is removed after the new one is stored, and before a handler gets the session.
    pub(super) async fn take_over(
        &self,
        foreign: &Foreign,
        cookie: &str,
        context: &Context,
    ) -> Result<LoadedSession, Error> {
        let token = Token::derived(&foreign.key, cookie.as_bytes());
        let taken = match self {
            Self::Cookie(_) => foreign.find(cookie, &token, context).await?.map(|record| {
                let at = record.created;
                let found = LoadedSession::of_record(record, Persistence::New, token, None, at);
                LoadedSession { is_taken_over: true, ..found }
            }),
            Self::Store(backend) => backend.take_over(foreign, cookie, token, context).await?,
        };
        let Some(taken) = taken else { return Ok(LoadedSession::new(context)) };
        if is_revoked(&taken.record, context).await? {
            return Ok(LoadedSession::new(context));
        }
        if taken.is_taken_over {
            observe::taken_over(&taken.token.correlation());
        }
        Ok(taken)
    }
}

impl StoreBackend {
    async fn take_over(
        &self,
        foreign: &Foreign,
        cookie: &str,
        token: Token,
        context: &Context,
    ) -> Result<Option<LoadedSession>, Error> {
        let find = foreign.find(cookie, &token, context);
        match self.load_or_store(&token, find, context).await? {
            Some(found) if matches!(found.persistence, Persistence::Stored { .. }) => {
                foreign.remove(cookie).await?;
                Ok(Some(LoadedSession { is_taken_over: true, ..found }))
            }
            // The session was taken over before, and has ended.
            found => Ok(found),
        }
    }
}

/// Shows the name of the cookie.
impl fmt::Debug for Foreign {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Foreign").field("cookie", &self.cookies.name()).finish_non_exhaustive()
    }
}
