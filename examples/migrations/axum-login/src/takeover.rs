//! Reads the sessions of axum-login, so that users stay signed in.

use std::time::SystemTime;

use cloakroom::{
    AppKeys, ConfigError, ForeignSession, ForeignSessions, Sessions, SignIn, async_trait,
    store::{Store, StoreError},
};
use from_tower_sessions::takeover::TowerSessions;
use serde::Deserialize;
use tower_sessions::SessionStore;

use crate::{accounts::Accounts, after};

/// Sets the sessions up as [`after::sessions`], and takes over the sessions of axum-login until a date.
pub fn sessions(
    accounts: &Accounts,
    store: impl Store,
    keys: AppKeys,
    old: TowerSessions<impl SessionStore>,
    until: SystemTime,
) -> Result<Sessions, ConfigError> {
    let sessions = after::sessions(accounts, store, keys);
    sessions.foreign_sessions(old.cookie(), until, AxumLogin(old)).build()
}

/// The sessions of axum-login, in any store of tower-sessions.
#[derive(Debug)]
pub struct AxumLogin<S>(pub TowerSessions<S>);

/// The name of the value in which axum-login has the user, unless the application sets another with
/// `AuthManagerLayerBuilder::with_data_key`.
const DATA_KEY: &str = "axum-login.data";

/// The name of the value in which axum-messages has the waiting messages.
const MESSAGES_KEY: &str = "axum-messages.data";

/// The user in a session. The type of the id is the application's.
#[derive(Deserialize)]
struct Data {
    user_id: Option<String>,
    auth_hash: Option<Vec<u8>>,
}

#[async_trait]
impl<S: SessionStore> ForeignSessions for AxumLogin<S> {
    /// Returns the values and the user. The hash of axum-login becomes the stamp, so a session from before
    /// a change of the password signs nobody in, and a later change ends the session.
    async fn find(&self, cookie: &str) -> Result<Option<ForeignSession>, StoreError> {
        let Some(mut record) = self.0.load(cookie).await? else { return Ok(None) };
        record.data.remove(MESSAGES_KEY);
        let data = record.data.remove(DATA_KEY).map(Data::deserialize).transpose();
        let data =
            data.map_err(|cause| StoreError::failed("read the data of axum-login", cause))?;
        let session = ForeignSession::new(record.data);
        Ok(Some(match data {
            Some(Data { user_id: Some(id), auth_hash: Some(hash) }) => {
                session.sign_in(SignIn::of(id).stamp(hash))
            }
            _ => session,
        }))
    }

    async fn remove(&self, cookie: &str) -> Result<(), StoreError> {
        self.0.remove(cookie).await
    }
}
