//! Signing an owner out of all sessions at once, on any driver.

use cloakroom_store::{StoreError, async_trait, clock::Timestamp};

/// Rejects sessions whose owner signed in before a given moment. This makes "sign out everywhere" work
/// on the cookie driver, which keeps no list of sessions to destroy.
///
/// Store one moment for each user, for example in the users table. Set it to the current time when the
/// user signs out everywhere, changes the password or is suspended. A session that got its owner
/// ([`Session::set_owner`](crate::Session::set_owner)) before that moment is then rejected. Call
/// `set_owner` again in a session that should stay valid.
///
/// The hook runs each time that a session with an owner is loaded, so keep the moments in memory. It
/// does not run for sessions without an owner.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use std::{collections::HashMap, sync::RwLock};
/// use cloakroom::{clock::Timestamp, store::StoreError, AppKeys, NotBefore, Driver, Sessions, async_trait};
///
/// #[derive(Default)]
/// struct Users {
///     not_before: RwLock<HashMap<String, Timestamp>>,
/// }
///
/// #[async_trait]
/// impl NotBefore for Users {
///     async fn not_before(&self, owner: &str) -> Result<Option<Timestamp>, StoreError> {
///         Ok(self.not_before.read().unwrap().get(owner).copied())
///     }
/// }
///
/// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).not_before(Users::default()).build()?;
/// # Ok::<(), cloakroom::ConfigError>(())
/// ```
#[async_trait]
pub trait NotBefore: Send + Sync + 'static {
    /// Returns the moment before which sign-ins of `owner` are invalid. Returns `None` if all of them
    /// are valid.
    ///
    /// # Errors
    /// When the moment is unavailable. The request then fails as if its session could not be loaded.
    async fn not_before(&self, owner: &str) -> Result<Option<Timestamp>, StoreError>;
}
