//! Signing an owner out of everything at once, on any driver.

use cloakroom_store::{StoreError, async_trait, clock::Timestamp};

/// Tells since when an owner's sign-ins count: what makes "sign out everywhere" work on the cookie
/// driver, which keeps no list of sessions to destroy.
///
/// Keep one moment for each user, in the users table for example. Set it to now when the user signs
/// out everywhere, changes the password or is suspended: every session that became theirs
/// ([`Session::set_owner`](crate::Session::set_owner)) before that moment is none from then on. The
/// one that shall stay calls `set_owner` again.
///
/// It is asked whenever a session with an owner is loaded, so let it answer from memory. Sessions
/// without an owner are not its business.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use std::{collections::HashMap, sync::RwLock};
/// use cloakroom::{clock::Timestamp, store::StoreError, AppKeys, NotBefore, Sessions, async_trait};
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
/// let sessions = Sessions::cookie(AppKeys::random()).not_before(Users::default()).build()?;
/// # Ok::<(), cloakroom::cookie::CookieError>(())
/// ```
#[async_trait]
pub trait NotBefore: Send + Sync + 'static {
    /// The moment before which `owner`'s sign-ins do not count; none where all do.
    ///
    /// # Errors
    /// When it cannot tell. The request then fails as if the session could not be loaded.
    async fn not_before(&self, owner: &str) -> Result<Option<Timestamp>, StoreError>;
}
