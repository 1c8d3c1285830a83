//! All sessions of a store, for operators and their tools.

use std::{collections::BTreeMap, fmt};

use serde_json::{Map, Value};

use crate::{
    backend::{events::EndedBy, lookup::LiveRecord},
    error::Error,
    form::FieldErrors,
    manage::info::{SessionInfo, SessionPage},
    record::{flash::Bags, handle::SessionHandle, message::Message},
    session::sessions::Sessions,
};
use cloakroom_store::{Cursor, OwnerKey};

/// Lists, shows and ends the sessions of a store. For operators and their tools, such as the command
/// `cloakroom`, and for the application's own jobs.
///
/// # Security
/// It ends any session by its handle, and all sessions of any owner. For pages where visitors manage
/// their own sessions use [`OwnerSessions`](crate::OwnerSessions), which is bound to one owner.
///
/// # Drivers
/// [`page`](Self::page) needs a store that can scan its records
/// ([`Store::as_scan`](crate::store::Store::as_scan)). The methods that take an owner, and a handle of
/// a session with an owner, need a store with an index of owners
/// ([`Store::as_owner_index`](crate::store::Store::as_owner_index)). They fail with
/// [`Error::is_unsupported`] on other stores. Memory, files and Redis have both.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # use cloakroom::{AppKeys, MemoryStore, Sessions};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
/// # let no_headers: &[(&str, &str)] = &[];
/// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
/// # session.set_owner("user-42")?;
/// # session.commit().await?;
/// // The account of user-42 is disabled.
/// let ended = sessions.admin()?.destroy_all("user-42").await?;
/// assert_eq!(ended, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SessionAdmin(Sessions);

/// A session with its values and its flash. [`SessionAdmin::contents`] returns it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionContents {
    /// The description, as in lists.
    pub info: SessionInfo,
    /// The values.
    pub values: Map<String, Value>,
    /// The flash messages by name that wait for the next page.
    pub messages: Map<String, Value>,
    /// The messages of [`Session::flash_push`](crate::Session::flash_push) that wait for the next page.
    pub pushed: Vec<Message>,
    /// The old form input that waits for the next page.
    pub input: Map<String, Value>,
    /// The errors by field that wait for the next page.
    pub errors: FieldErrors,
    /// The errors by field of the forms with a name.
    pub form_errors: BTreeMap<String, FieldErrors>,
}

/// Shows the description alone, because values do not belong in logs.
impl fmt::Debug for SessionContents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionContents").field("info", &self.info).finish_non_exhaustive()
    }
}

impl Sessions {
    /// Returns the [`SessionAdmin`] of these sessions, which lists, shows and ends them.
    ///
    /// # Errors
    /// [`Error::is_unsupported`] on the cookie driver, because its sessions are in the visitors'
    /// cookies.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Driver, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// assert_eq!(sessions.admin()?.destroy_all("user-42").await?, 0);
    ///
    /// let sealed = Sessions::builder(Driver::Cookie, AppKeys::random()).build()?;
    /// assert!(sealed.admin().unwrap_err().is_unsupported());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub fn admin(&self) -> Result<SessionAdmin, Error> {
        self.lookup("manage sessions")?;
        Ok(SessionAdmin(self.clone()))
    }
}

impl SessionAdmin {
    /// Returns live sessions from `cursor` on, with and without an owner. Begin with [`Cursor::default`]
    /// and follow [`SessionPage::next`]. The store scans its records in steps, and each step is a page.
    /// So a page may be empty although more follow.
    ///
    /// # Errors
    /// When the store fails. [`Error::is_unsupported`] if it cannot scan its records.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{store::Cursor, AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// # session.put("cart", [7])?;
    /// # session.commit().await?;
    /// let admin = sessions.admin()?;
    /// let (mut live, mut next) = (0, Some(Cursor::default()));
    /// while let Some(cursor) = next {
    ///     let page = admin.page(cursor).await?;
    ///     live += page.sessions.len();
    ///     next = page.next;
    /// }
    /// assert_eq!(live, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn page(&self, cursor: Cursor) -> Result<SessionPage, Error> {
        let lookup = self.0.lookup("list sessions")?;
        let (found, next) = lookup.page(cursor).await?;
        Ok(SessionPage::of(&found, next, |found| SessionInfo::of(found, &lookup, false)))
    }

    /// Returns live sessions of one owner from `cursor` on, most recently used first. Does not read the
    /// sessions of other owners.
    ///
    /// A page has about 128 sessions, and examines about 1,024 entries of the store's index. If most of
    /// these entries belong to sessions that have ended, the page is shorter, or empty although more
    /// follow. If [`max_sessions`](crate::SessionsBuilder::max_sessions) is below 128, the first page has
    /// all sessions.
    ///
    /// # Errors
    /// When the store fails. [`Error::is_unsupported`] if it has no index of owners.
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
    /// let page = sessions.admin()?.sessions_of("user-42", Cursor::default()).await?;
    /// assert_eq!(page.sessions[0].owner.as_deref(), Some("user-42"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn sessions_of(&self, owner: &str, cursor: Cursor) -> Result<SessionPage, Error> {
        let lookup = self.0.lookup("list an owner's sessions")?;
        let (found, next) = lookup.page_of(&OwnerKey::of(owner), cursor).await?;
        let page = SessionPage::of(&found, next, |found| SessionInfo::of(found, &lookup, false));
        Ok(page.newest_first())
    }

    /// Returns the session that `handle` names, with its values. Returns `None` if it has ended. This does
    /// not count as a use of the session.
    ///
    /// # Errors
    /// When the store fails. [`Error::is_unsupported`] for a handle of a session with an owner, if the
    /// store has no index of owners.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.put("cart", [7])?;
    /// session.commit().await?;
    /// let handle = session.handle().unwrap();
    /// let contents = sessions.admin()?.contents(&handle).await?.unwrap();
    /// assert_eq!(contents.values["cart"], serde_json::json!([7]));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn contents(&self, handle: &SessionHandle) -> Result<Option<SessionContents>, Error> {
        let lookup = self.0.lookup("show a session")?;
        let Some(found) = lookup.by_handle(*handle).await? else { return Ok(None) };
        let flash = found.record.flash.visible().unwrap_or_default();
        let Bags { messages, pushed, input, errors, form_errors } = flash;
        Ok(Some(SessionContents {
            info: SessionInfo::of(&found, &lookup, false),
            values: found.record.values.all(),
            messages: messages.all(),
            pushed,
            input: input.all(),
            errors,
            form_errors,
        }))
    }

    /// Ends the session that `handle` names, even if it has been regenerated in the meantime. Returns
    /// `true` if it was live. The handle of a session without an owner follows a regeneration for one hour.
    ///
    /// Requests of the session that are still running commit nothing.
    ///
    /// # Errors
    /// When the store fails. [`Error::is_contention`] if the session's own requests kept regenerating it
    /// until the [deadline](crate::SessionsBuilder::commit_deadline). [`Error::is_unsupported`] for a
    /// handle of a session with an owner, if the store has no index of owners.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// # session.put("cart", [7])?;
    /// # session.commit().await?;
    /// let handle = session.handle().unwrap();
    /// assert!(sessions.admin()?.destroy(&handle).await?);
    /// assert!(!sessions.admin()?.destroy(&handle).await?);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn destroy(&self, handle: &SessionHandle) -> Result<bool, Error> {
        self.0.lookup("end a session")?.end(*handle, EndedBy::Operator).await
    }

    /// Ends every session of `owner`. Returns how many there were.
    ///
    /// # Errors
    /// When the store fails. The sessions that were ended before stay ended.
    /// [`Error::is_contention`] as [`destroy`](Self::destroy). [`Error::is_unsupported`] if the store
    /// has no index of owners. [`Error::is_locked`] if some may be sealed by an unknown key, after the others
    /// have been ended.
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
    /// assert_eq!(sessions.admin()?.destroy_all("user-42").await?, 1);
    /// assert_eq!(sessions.admin()?.destroy_all("user-42").await?, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn destroy_all(&self, owner: &str) -> Result<usize, Error> {
        let lookup = self.0.lookup("end an owner's sessions")?;
        lookup.end_each_of(&OwnerKey::of(owner), EndedBy::Operator, |_| true).await
    }

    /// Ends every session of `owner` except the one that `keep` names. Returns how many there were.
    ///
    /// # Errors
    /// As [`destroy_all`](Self::destroy_all).
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
    /// let keep = session.handle().unwrap();
    /// assert_eq!(sessions.admin()?.destroy_others("user-42", &keep).await?, 0);
    /// assert!(sessions.admin()?.contents(&keep).await?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    pub async fn destroy_others(&self, owner: &str, keep: &SessionHandle) -> Result<usize, Error> {
        let lookup = self.0.lookup("end an owner's sessions")?;
        let is_other = |found: &LiveRecord| lookup.handle(found) != *keep;
        lookup.end_each_of(&OwnerKey::of(owner), EndedBy::Operator, is_other).await
    }
}
