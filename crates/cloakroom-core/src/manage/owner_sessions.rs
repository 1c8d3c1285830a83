//! The sessions of one owner, for the owner.

use crate::{
    backend::{events::EndedBy, lookup::LiveRecord},
    error::Error,
    manage::info::{SessionInfo, SessionPage},
    record::{
        handle::{SessionHandle, Target},
        owner::Owner,
    },
    session::Session,
};
use cloakroom_store::{Cursor, OwnerKey};

/// Lists and ends the sessions of a visitor: "where am I signed in" and "sign out everywhere else"
/// (OWASP ASVS 5.0, 7.4.3 and 7.5.2).
///
/// It only ends sessions of the owner that the session had when [`Session::owner_sessions`] was called.
/// So handles may come from the visitor's browser. For a session without an owner, the list is empty and
/// nothing is ended. For operators, use [`SessionAdmin`](crate::SessionAdmin).
///
/// A session is listed once it has an owner ([`Session::set_owner`]) and is committed.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # use cloakroom::{store::Cursor, AppKeys, MemoryStore, Sessions};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
/// # let no_headers: &[(&str, &str)] = &[];
/// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
/// session.set_owner("user-42")?;
/// session.set_label("Firefox on Linux")?;
/// session.commit().await?;
///
/// let own = session.owner_sessions()?;
/// let page = own.page(Cursor::default()).await?;
/// let [here] = page.sessions.try_into().unwrap();
/// assert!(here.current);
/// assert_eq!(here.label.as_deref(), Some("Firefox on Linux"));
/// assert_eq!(own.destroy_others().await?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct OwnerSessions {
    session: Session,
    owner: Option<OwnerKey>,
}

impl Session {
    /// Returns the [`OwnerSessions`] of this session's owner, which lists and ends them.
    ///
    /// # Errors
    /// [`Error::is_unsupported`] if the driver has no index of owners, such as the cookie driver.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// // After a change of the password:
    /// session.regenerate()?;
    /// let ended = session.owner_sessions()?.destroy_others().await?;
    /// # assert_eq!(ended, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn owner_sessions(&self) -> Result<OwnerSessions, Error> {
        self.sessions().lookup("list an owner's sessions")?.index()?;
        let owner = self.owned().as_ref().map(Owner::key);
        Ok(OwnerSessions { session: self.clone(), owner })
    }
}

impl OwnerSessions {
    /// Returns live sessions of the owner from `cursor` on, most recently used first. Pages are like those
    /// of [`SessionAdmin::sessions_of`](crate::SessionAdmin::sessions_of). [`SessionInfo::current`] marks
    /// the session of this request.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{store::Cursor, AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.set_owner("user-42")?;
    /// session.commit().await?;
    /// let page = session.owner_sessions()?.page(Cursor::default()).await?;
    /// assert!(page.sessions[0].current);
    /// assert_eq!(Some(page.sessions[0].handle), session.handle());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn page(&self, cursor: Cursor) -> Result<SessionPage, Error> {
        let Some(owner) = &self.owner else { return Ok(SessionPage::default()) };
        let lookup = self.session.sessions().lookup("list an owner's sessions")?;
        let (found, next) = lookup.page_of(owner, cursor).await?;
        let info = |found: &LiveRecord| SessionInfo::of(found, &lookup, self.is_current(found));
        Ok(SessionPage::of(&found, next, info).newest_first())
    }

    /// Ends the session that `handle` names. Returns `true` if it was live and the owner's.
    ///
    /// Requests of that session that are still running commit nothing. To end the current session, use
    /// [`Session::destroy`], which also removes the cookie.
    ///
    /// # Errors
    /// When the store fails. [`Error::is_contention`] if the session's own requests kept regenerating it
    /// until the [deadline](crate::SessionsBuilder::commit_deadline).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let mut opened = Vec::new();
    /// # for owner in ["user-42", "user-42", "user-43"] {
    /// #     let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// #     session.set_owner(owner)?;
    /// #     session.commit().await?;
    /// #     opened.push(session);
    /// # }
    /// # let [session, phone, stranger] = opened.try_into().unwrap();
    /// let own = session.owner_sessions()?;
    /// assert!(own.destroy(&phone.handle().unwrap()).await?);
    /// assert!(!own.destroy(&stranger.handle().unwrap()).await?, "another owner's");
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn destroy(&self, handle: &SessionHandle) -> Result<bool, Error> {
        match handle.target() {
            Target::Owned { owner, .. } if Some(owner) == self.owner => {
                self.session.sessions().lookup("end a session")?.end(*handle, EndedBy::Owner).await
            }
            Target::Owned { .. } | Target::Stored(_) => Ok(false),
        }
    }

    /// Ends every session of the owner except the current one. Returns how many there were.
    ///
    /// # Errors
    /// When the store fails. The sessions that were ended before stay ended.
    /// [`Error::is_contention`] as [`destroy`](Self::destroy).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let mut opened = Vec::new();
    /// # for owner in ["user-42", "user-42", "user-43"] {
    /// #     let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// #     session.set_owner(owner)?;
    /// #     session.commit().await?;
    /// #     opened.push(session);
    /// # }
    /// # let [session, _phone, _stranger] = opened.try_into().unwrap();
    /// assert_eq!(session.owner_sessions()?.destroy_others().await?, 1);
    /// assert_eq!(session.owner_sessions()?.destroy_others().await?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn destroy_others(&self) -> Result<usize, Error> {
        self.destroy_where(|found| !self.is_current(found)).await
    }

    /// Ends every session of the owner, the current one included. Returns how many there were.
    ///
    /// Does not remove the cookie of the current session. To do this as well, also call
    /// [`Session::destroy`].
    ///
    /// # Errors
    /// As [`destroy_others`](Self::destroy_others).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.set_owner("user-42")?;
    /// session.commit().await?;
    /// let ended = session.owner_sessions()?.destroy_all().await?;
    /// session.destroy()?;
    /// assert_eq!(ended, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn destroy_all(&self) -> Result<usize, Error> {
        self.destroy_where(|_| true).await
    }

    async fn destroy_where(&self, wanted: impl Fn(&LiveRecord) -> bool) -> Result<usize, Error> {
        let Some(owner) = &self.owner else { return Ok(0) };
        self.session
            .sessions()
            .lookup("end an owner's sessions")?
            .end_each_of(owner, EndedBy::Owner, wanted)
            .await
    }

    /// Returns whether `found` is the session of the request, as it was loaded or as it is now. A
    /// handle would not do, because a request beside this one may have signed the same session in.
    fn is_current(&self, found: &LiveRecord) -> bool {
        let owner = found.record.owner.as_ref();
        owner.is_some_and(|owner| self.session.is_stored_as(&found.key, owner))
    }
}
