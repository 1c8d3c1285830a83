//! The owner of a session, and its handle.

use crate::session::Session;
use crate::{
    backend::Backend,
    error::{Error, Kind},
    record::{change::Change, handle::SessionHandle, owner::Owner},
};

impl Session {
    /// Sets the owner of the session: the id or name that the application has for its user. To sign a user
    /// in, call [`sign_in`](Self::sign_in), which sets it as well.
    ///
    /// # Security
    /// A visitor who signs in under the token that they came with can be the victim of session fixation: an
    /// attacker who planted that token is then signed in too (OWASP ASVS 5.0, 7.2.4). `sign_in` gives the
    /// session a new token. If an owner is set in a session that keeps the token of an anonymous visitor,
    /// a warning is logged, once in each process.
    ///
    /// # Which sessions end
    /// If the owner already has [`max_sessions`](crate::SessionsBuilder::max_sessions), the commit ends
    /// the one that was unused for the longest time. Setting the same owner again updates the time of
    /// the sign-in. In this case the session keeps its [`handle`](Self::handle), and no other session
    /// ends.
    ///
    /// The owner is not a value, so [`all`](Self::all) does not show it and [`clear`](Self::clear)
    /// keeps it. If concurrent requests set it, the later one counts. If the session ends during a request
    /// that signs in with `regenerate`, the commit begins a new session. A request whose session had the same
    /// owner before does so only if another request has regenerated it, because a logout is final.
    ///
    /// # Errors
    /// [`Error::is_unsupported`] if nothing would use the owner: the driver has no index of owners, such
    /// as the cookie driver, and there is no [`NotBefore`](crate::NotBefore). After the commit, as every
    /// change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.regenerate()?;
    /// session.set_owner("user-42")?;
    /// session.set_label("Firefox on Linux")?;
    /// assert_eq!(session.owner().as_deref(), Some("user-42"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn set_owner(&self, owner: &str) -> Result<(), Error> {
        let sessions = self.sessions();
        if !sessions.has_use_for_owners() {
            let driver = sessions.driver_name();
            return Err(Kind::Unsupported { attempted: "give the session an owner", driver }.into());
        }
        let owner = self.owner_entry(owner);
        self.state().work.change(Change::Own(Some(owner)))
    }

    /// Returns the entry of an owner who signs in now.
    pub(super) fn owner_entry(&self, name: &str) -> Owner {
        Owner::new(name, self.now(), self.state().work.current_token().record_key().tag())
    }

    /// Removes the owner of the session. To sign out, prefer [`destroy`](Self::destroy), which ends
    /// the session with its values.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.set_owner("user-42")?;
    /// session.forget_owner()?;
    /// assert_eq!(session.owner(), None);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn forget_owner(&self) -> Result<(), Error> {
        self.state().work.change(Change::Own(None))
    }

    /// Sets the text that describes this session in lists, such as the name of the device
    /// ([`SessionInfo::label`](crate::SessionInfo)).
    ///
    /// # Security
    /// If the text comes from the request, such as from `User-Agent`, templates must escape it.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.set_label("Firefox on Linux")?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn set_label(&self, label: &str) -> Result<(), Error> {
        self.state().work.change(Change::Label(label.into()))
    }

    /// Returns the name of the session's owner. Returns `None` if it has no owner.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// assert_eq!(session.owner(), None);
    /// session.set_owner("user-42")?;
    /// assert_eq!(session.owner().as_deref(), Some("user-42"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn owner(&self) -> Option<String> {
        self.owned().map(|owner| owner.name.into())
    }

    pub(crate) fn owned(&self) -> Option<Owner> {
        self.state().owner().cloned()
    }

    /// Returns the handle by which tasks, pages and the command `cloakroom` name this session. It is valid
    /// once the session is committed. [`SessionHandle`] describes how long it stays the same.
    ///
    /// Returns `None` if the request leaves no session in a store: on the cookie driver, after
    /// [`destroy`](Self::destroy), if the session ended during the request, or if it is new and has no
    /// contents.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// assert_eq!(session.handle(), None);
    /// session.put("import", "running")?;
    /// session.commit().await?;
    /// let handle = session.handle().expect("the session is stored");
    /// sessions.edit(&handle, |session| session.put("import", "done")).await?;
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn handle(&self) -> Option<SessionHandle> {
        let Backend::Store(backend) = self.sessions().backend() else { return None };
        let key = self.record_key()?;
        Some(backend.handle(self.state().owner(), key))
    }
}

impl crate::session::sessions::Sessions {
    fn has_use_for_owners(&self) -> bool {
        let has_index = match self.backend() {
            Backend::Cookie(_) => false,
            Backend::Store(backend) => backend.store().as_owner_index().is_some(),
        };
        has_index || self.context().not_before().is_some()
    }
}
