//! Reads the sessions of actix-identity, so that users stay signed in.

use std::time::SystemTime;

use actix_session::storage::{CookieSessionStore, RedisSessionStore, SessionStore};
use cloakroom::{
    AppKeys, ConfigError, ForeignSession, ForeignSessions, Sessions, async_trait,
    store::{Store, StoreError},
};
use from_actix_session::takeover::ActixSessions;

use crate::after;

/// Sets the sessions up as [`after::sessions`], and takes over the sessions of actix-identity until a date.
pub fn sessions<S: SessionStore>(
    store: impl Store,
    keys: AppKeys,
    old: ActixSessions<S>,
    until: SystemTime,
) -> Result<Sessions, ConfigError>
where
    ActixIdentity<S>: ForeignSessions,
{
    let sessions = after::sessions(store, keys);
    sessions.foreign_sessions(old.cookie(), until, ActixIdentity(old)).build()
}

/// The sessions of actix-identity, in a store of actix-session.
#[derive(Debug)]
pub struct ActixIdentity<S>(pub ActixSessions<S>);

/// The name of the value in which actix-identity has the user, unless the application sets another with
/// `IdentityMiddlewareBuilder::id_key`.
const ID_KEY: &str = "actix_identity.user_id";

impl<S: SessionStore> ActixIdentity<S> {
    /// Returns the values and the user.
    ///
    /// An application with a `login_deadline` has the time of the sign-in in the value
    /// `actix_identity.logged_in_at`. It has to compare it here, and to return `None` after the deadline.
    async fn session(&self, cookie: &str) -> Result<Option<ForeignSession>, StoreError> {
        let Some(mut values) = self.0.load(cookie).await? else { return Ok(None) };
        let id = values.remove(ID_KEY);
        let session = ForeignSession::new(values);
        Ok(Some(match id.as_ref().and_then(|id| id.as_str()) {
            Some(id) => session.sign_in(id),
            None => session,
        }))
    }
}

#[async_trait]
impl ForeignSessions for ActixIdentity<CookieSessionStore> {
    async fn find(&self, cookie: &str) -> Result<Option<ForeignSession>, StoreError> {
        self.session(cookie).await
    }
}

#[async_trait]
impl ForeignSessions for ActixIdentity<RedisSessionStore> {
    async fn find(&self, cookie: &str) -> Result<Option<ForeignSession>, StoreError> {
        self.session(cookie).await
    }

    async fn remove(&self, cookie: &str) -> Result<(), StoreError> {
        self.0.delete(cookie).await
    }
}
