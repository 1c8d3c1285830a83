//! Reads the sessions of tower-sessions, so that visitors keep theirs.

use std::time::SystemTime;

use cloakroom::{
    AppKeys, ConfigError, ForeignSession, ForeignSessions, Sessions, async_trait,
    cookie::CookieSettings,
    store::{Store, StoreError},
};
use tower_sessions::{
    SessionStore,
    cookie::{Cookie, CookieJar, Key},
    session::{Id, Record},
};

use crate::after;

/// Sets the sessions up as [`after::sessions`], and takes over the sessions of tower-sessions until a
/// date.
pub fn sessions(
    store: impl Store,
    keys: AppKeys,
    old: TowerSessions<impl SessionStore>,
    until: SystemTime,
) -> Result<Sessions, ConfigError> {
    after::sessions(store, keys).foreign_sessions(old.cookie(), until, old).build()
}

/// The sessions of tower-sessions, in any of its stores.
#[derive(Debug)]
pub struct TowerSessions<S> {
    store: S,
    cookie_name: String,
    protection: Protection,
}

/// The protection of the cookie of tower-sessions.
#[derive(Clone)]
pub enum Protection {
    /// None. This is the default of tower-sessions.
    Plain,
    /// The signature of `SessionManagerLayer::with_signed`.
    Signed(Key),
    /// The encryption of `SessionManagerLayer::with_private`.
    Private(Key),
}

impl<S: SessionStore> TowerSessions<S> {
    /// Reads from `store`, for the default cookie: the name `id`, without protection.
    pub fn new(store: S) -> Self {
        Self { store, cookie_name: "id".to_owned(), protection: Protection::Plain }
    }

    /// Sets the name of the cookie, as `SessionManagerLayer::with_name` had it.
    #[must_use]
    pub fn cookie_name(self, name: impl Into<String>) -> Self {
        Self { cookie_name: name.into(), ..self }
    }

    /// Sets the protection of the cookie.
    #[must_use]
    pub fn protection(self, protection: Protection) -> Self {
        Self { protection, ..self }
    }

    /// Returns the settings of the cookie, with which cloakroom reads and removes it. Change them if
    /// `SessionManagerLayer` had another path or a domain.
    pub fn cookie(&self) -> CookieSettings {
        CookieSettings { name: self.cookie_name.clone(), ..CookieSettings::default() }
    }

    /// Returns the record of a cookie with a valid protection.
    pub async fn load(&self, cookie: &str) -> Result<Option<Record>, StoreError> {
        let Some(id) = self.id(cookie) else { return Ok(None) };
        let record = self.store.load(&id).await;
        record.map_err(|cause| StoreError::unavailable("load a session of tower-sessions", cause))
    }

    /// Returns the id in a cookie with a valid protection.
    fn id(&self, value: &str) -> Option<Id> {
        let name = &self.cookie_name;
        let mut jar = CookieJar::new();
        jar.add_original(Cookie::parse_encoded(format!("{name}={value}")).ok()?.into_owned());
        let cookie = match &self.protection {
            Protection::Plain => jar.get(name).cloned(),
            Protection::Signed(key) => jar.signed(key).get(name),
            Protection::Private(key) => jar.private(key).get(name),
        };
        cookie?.value().parse().ok()
    }
}

#[async_trait]
impl<S: SessionStore> ForeignSessions for TowerSessions<S> {
    async fn find(&self, cookie: &str) -> Result<Option<ForeignSession>, StoreError> {
        Ok(self.load(cookie).await?.map(|record| ForeignSession::new(record.data)))
    }

    async fn remove(&self, cookie: &str) -> Result<(), StoreError> {
        let Some(id) = self.id(cookie) else { return Ok(()) };
        let removed = self.store.delete(&id).await;
        removed
            .map_err(|cause| StoreError::unavailable("remove a session of tower-sessions", cause))
    }
}

impl std::fmt::Debug for Protection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Plain => "Plain",
            Self::Signed(_) => "Signed",
            Self::Private(_) => "Private",
        })
    }
}
