//! The application's users, for sessions that have one as their owner.

use std::{any::Any, error::Error as StdError, sync::Arc};

use cloakroom_store::{StoreError, async_trait};

/// Finds the user who is the owner of a session. Pass it to
/// [`SessionsBuilder::users`](crate::SessionsBuilder::users).
///
/// It is asked when a handler takes [`CurrentUser`](crate::CurrentUser), once in each request. If the
/// session has an [owner stamp](crate::Session::set_owner_stamp), it is also asked for
/// [`Owner`](crate::Owner) and [`RequireOwner`](crate::RequireOwner).
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::{AppKeys, CurrentUser, Driver, Sessions, Users};
///
/// struct User {
///     name: String,
///     password_hash: String,
/// }
///
/// struct Database; // with a connection pool
///
/// impl Users for Database {
///     type User = User;
///     type Error = std::io::Error; // that of the database
///
///     async fn user(&self, owner: &str) -> Result<Option<User>, Self::Error> {
///         Ok(Some(User { name: owner.to_owned(), password_hash: "$argon2id$v=19$…".to_owned() }))
///     }
///
///     fn stamp<'u>(&self, user: &'u User) -> Option<&'u [u8]> {
///         Some(user.password_hash.as_bytes())
///     }
/// }
///
/// async fn account(user: CurrentUser<User>) -> String {
///     format!("Hello, {}", user.name)
/// }
///
/// let sessions = Sessions::builder(Driver::Cookie, AppKeys::random()).users(Database).build()?;
/// # Ok::<(), cloakroom::ConfigError>(())
/// ```
pub trait Users: Send + Sync + 'static {
    /// The application's type of a user.
    type User: Send + Sync + 'static;
    /// The error of a query.
    type Error: Into<Box<dyn StdError + Send + Sync>>;

    /// Returns the user with this id or name, which a sign-in has given as the owner. Returns `None` if
    /// there is no such user any more.
    ///
    /// # Errors
    /// When the query fails. The request then gets status 500.
    fn user(
        &self,
        owner: &str,
    ) -> impl Future<Output = Result<Option<Self::User>, Self::Error>> + Send;

    /// Returns the current stamp of a user, such as the hash of the password. A session with another
    /// stamp ([`Session::set_owner_stamp`](crate::Session::set_owner_stamp)) is ended. Default: none, so
    /// no stamp is compared.
    fn stamp<'u>(&self, user: &'u Self::User) -> Option<&'u [u8]> {
        let _ = user;
        None
    }
}

/// [`Users`] whose type of a user is unknown.
#[async_trait]
pub(crate) trait AnyUsers: Send + Sync {
    /// Returns the user, and whether `matches` accepts its stamp. A user without a stamp matches.
    async fn find(
        &self,
        owner: &str,
        matches: &(dyn for<'s> Fn(&'s [u8]) -> bool + Send + Sync),
    ) -> Result<Option<FoundUser>, StoreError>;
}

/// A user whose type is unknown.
#[derive(Clone)]
pub(crate) struct FoundUser {
    pub(crate) user: Arc<dyn Any + Send + Sync>,
    pub(crate) matches: bool,
}

#[async_trait]
impl<U: Users> AnyUsers for U {
    async fn find(
        &self,
        owner: &str,
        matches: &(dyn for<'s> Fn(&'s [u8]) -> bool + Send + Sync),
    ) -> Result<Option<FoundUser>, StoreError> {
        let found = self.user(owner).await;
        let found = found.map_err(|cause| StoreError::failed("find the signed-in user", cause))?;
        Ok(found.map(|user| {
            let matches = self.stamp(&user).is_none_or(matches);
            FoundUser { user: Arc::new(user), matches }
        }))
    }
}
