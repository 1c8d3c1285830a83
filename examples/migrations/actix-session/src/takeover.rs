//! Reads the sessions of actix-session, so that visitors keep theirs.

use std::{collections::HashMap, fmt, time::SystemTime};

use actix_session::{
    config::CookieContentSecurity,
    storage::{CookieSessionStore, LoadError, RedisSessionStore, SessionKey, SessionStore},
};
use actix_web::cookie::{Cookie, CookieJar, Key};
use cloakroom::{
    AppKeys, ConfigError, Driver, ForeignSession, ForeignSessions, Sessions, async_trait,
    cookie::CookieSettings, store::StoreError,
};
use serde_json::{Map, Value};

use crate::after;

/// Sets the sessions up as [`after::sessions`], and takes over the sessions of actix-session until a date.
pub fn sessions<S: SessionStore>(
    driver: impl Into<Driver>,
    keys: AppKeys,
    old: ActixSessions<S>,
    until: SystemTime,
) -> Result<Sessions, ConfigError>
where
    ActixSessions<S>: ForeignSessions,
{
    after::sessions(driver, keys).foreign_sessions(old.cookie(), until, old).build()
}

/// The sessions of actix-session, in a store.
///
/// [`ForeignSessions`] is implemented for each store on its own. The trait [`SessionStore`] does not promise
/// futures that are [`Send`], so the compiler must know the store. For another store, copy one of the two
/// implementations.
pub struct ActixSessions<S> {
    store: S,
    cookie_name: String,
    key: Key,
    security: CookieContentSecurity,
}

impl<S: SessionStore> ActixSessions<S> {
    /// Reads from `store`, for the default cookie: the name `id`, encrypted by `key`.
    pub fn new(store: S, key: Key) -> Self {
        let (cookie_name, security) = ("id".to_owned(), CookieContentSecurity::Private);
        Self { store, cookie_name, key, security }
    }

    /// Sets the name of the cookie, as `SessionMiddlewareBuilder::cookie_name` had it.
    #[must_use]
    pub fn cookie_name(self, name: impl Into<String>) -> Self {
        Self { cookie_name: name.into(), ..self }
    }

    /// Sets the protection of the cookie, as `SessionMiddlewareBuilder::cookie_content_security` had it.
    #[must_use]
    pub fn cookie_content_security(self, security: CookieContentSecurity) -> Self {
        Self { security, ..self }
    }

    /// Returns the key in a cookie with a valid protection.
    fn session_key(&self, value: &str) -> Option<SessionKey> {
        let name = &self.cookie_name;
        let mut jar = CookieJar::new();
        jar.add_original(Cookie::parse_encoded(format!("{name}={value}")).ok()?.into_owned());
        let cookie = match self.security {
            CookieContentSecurity::Signed => jar.signed(&self.key).get(name),
            CookieContentSecurity::Private => jar.private(&self.key).get(name),
        };
        cookie?.value().to_owned().try_into().ok()
    }

    /// Returns the settings of the cookie, with which cloakroom reads and removes it. Change them if
    /// `SessionMiddlewareBuilder` had another path or a domain.
    pub fn cookie(&self) -> CookieSettings {
        CookieSettings { name: self.cookie_name.clone(), ..CookieSettings::default() }
    }

    /// Returns the values of the session of a cookie with a valid protection.
    pub async fn load(&self, cookie: &str) -> Result<Option<Map<String, Value>>, StoreError> {
        let Some(key) = self.session_key(cookie) else { return Ok(None) };
        match self.store.load(&key).await {
            Ok(state) => Ok(state.map(|state| values(&state))),
            // actix-session begins with an empty session as well.
            Err(LoadError::Deserialization(_)) => Ok(None),
            Err(LoadError::Other(cause)) => {
                Err(StoreError::unavailable("load a session of actix-session", cause))
            }
        }
    }

    /// Removes the session of a cookie with a valid protection.
    pub async fn delete(&self, cookie: &str) -> Result<(), StoreError> {
        let Some(key) = self.session_key(cookie) else { return Ok(()) };
        let deleted = self.store.delete(&key).await;
        deleted.map_err(|cause| StoreError::unavailable("remove a session of actix-session", cause))
    }
}

/// Reads the values, each of which is JSON in a string.
fn values(state: &HashMap<String, String>) -> Map<String, Value> {
    let value =
        |(key, json): (&String, &String)| Some((key.clone(), serde_json::from_str(json).ok()?));
    state.iter().filter_map(value).collect()
}

#[async_trait]
impl ForeignSessions for ActixSessions<CookieSessionStore> {
    async fn find(&self, cookie: &str) -> Result<Option<ForeignSession>, StoreError> {
        Ok(self.load(cookie).await?.map(ForeignSession::new))
    }
}

#[async_trait]
impl ForeignSessions for ActixSessions<RedisSessionStore> {
    async fn find(&self, cookie: &str) -> Result<Option<ForeignSession>, StoreError> {
        Ok(self.load(cookie).await?.map(ForeignSession::new))
    }

    async fn remove(&self, cookie: &str) -> Result<(), StoreError> {
        self.delete(cookie).await
    }
}

impl<S> fmt::Debug for ActixSessions<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.cookie_name;
        f.debug_struct("ActixSessions").field("cookie_name", name).finish_non_exhaustive()
    }
}
