//! The user who is signed in.

use std::{any::type_name, ops::Deref, sync::Arc};

use crate::{
    backend::{store::failed, users::FoundUser},
    error::{Error, Kind},
    record::owner::Owner,
    session::Session,
};

/// The user who is signed in, as [`Users`](crate::Users) returns them. As an argument of a handler, it
/// refuses requests without one, as [`Owner`](crate::Owner) does.
///
/// The first use in a request asks `Users`, and later ones share the answer. Requests whose handlers do not
/// take it cost no query.
#[derive(Debug)]
pub struct CurrentUser<T>(Arc<T>);

impl<T> Clone for CurrentUser<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for CurrentUser<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// The user that a request has asked for, with the owner that the session had then.
#[derive(Clone)]
pub(super) struct AskedUser {
    owner: Owner,
    found: Option<FoundUser>,
}

impl Session {
    /// Returns the user who is signed in. Returns `None` without an owner, if there is no such user any more,
    /// or if the session has an old [owner stamp](Self::set_owner_stamp). In this last case the session is
    /// [destroyed](Self::destroy).
    ///
    /// # Errors
    /// When the query fails, or if the application has no [`Users`](crate::Users) with the type `T`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::{Error, Session};
    ///
    /// # struct User { name: String }
    /// async fn greeting(session: &Session) -> Result<String, Error> {
    ///     let user = session.current_user::<User>().await?;
    ///     Ok(user.map_or("Hello".to_owned(), |user| format!("Hello, {}", user.name)))
    /// }
    /// ```
    pub async fn current_user<T: Send + Sync + 'static>(
        &self,
    ) -> Result<Option<CurrentUser<T>>, Error> {
        let no_users = || Error::from(Kind::NoUsers { wanted: type_name::<T>() });
        if self.sessions().context().users().is_none() {
            return Err(no_users());
        }
        let Some(owner) = self.owned() else { return Ok(None) };
        let Some(found) = self.found_user(&owner).await? else { return Ok(None) };
        let user = found.user.downcast().map_err(|_| no_users())?;
        Ok(Some(CurrentUser(user)))
    }

    /// Returns the owner, unless their stamp has changed.
    pub(crate) async fn verified_owner(&self) -> Result<Option<Owner>, Error> {
        let Some(owner) = self.owned() else { return Ok(None) };
        if owner.stamp.is_none() || self.sessions().context().users().is_none() {
            return Ok(Some(owner));
        }
        Ok(self.found_user(&owner).await?.map(|_| owner))
    }

    /// Asks for the user, once in a request. Ends the session if the stamp has changed.
    async fn found_user(&self, owner: &Owner) -> Result<Option<FoundUser>, Error> {
        let asked = self.asked().as_ref().filter(|asked| asked.owner == *owner).cloned();
        let asked = match asked {
            Some(asked) => asked,
            None => self.ask(owner).await?,
        };
        let Some(found) = asked.found else { return Ok(None) };
        if found.matches {
            return Ok(Some(found));
        }
        // A session that can no longer be changed is ended by its next request.
        drop(self.destroy());
        Ok(None)
    }

    async fn ask(&self, owner: &Owner) -> Result<AskedUser, Error> {
        let mut asked = AskedUser { owner: owner.clone(), found: None };
        if let Some(users) = self.sessions().context().users() {
            let stamp = owner.stamp;
            let matches = move |current: &[u8]| stamp.is_none_or(|stamp| stamp.is_of(current));
            let found = users.find(&owner.name, &matches).await;
            asked.found = found.map_err(|cause| failed("find the signed-in user", cause))?;
        }
        *self.asked() = Some(asked.clone());
        Ok(asked)
    }
}
