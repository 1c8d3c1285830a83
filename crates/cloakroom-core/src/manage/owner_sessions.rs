//! Who is signed in where.

use serde::Serialize;

use crate::{
    backend::lookup::LiveRecord,
    error::Error,
    record::{
        Record,
        owner::{Handle, Owner},
    },
    session::{Session, sessions::Sessions},
};
use cloakroom_store::{Cursor, OwnerKey, RecordKey, clock::Timestamp};

/// The sessions of an owner: list them, and end them from elsewhere (OWASP ASVS 5.0, 7.4.3 and 7.5.2).
///
/// From [`Session::directory`] it knows which session is the current one, and a handle ends sessions
/// of the same owner only: right for a page that the visitor sees, whose handles come back from the
/// browser. From [`Sessions::directory`] a handle ends any: right for administrators. The owner that
/// the other functions take is the application's word: pass [`Session::owner`], no name from the
/// request.
///
/// Sessions appear in it once they have an owner ([`Session::set_owner`]) and are committed.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # use cloakroom::{store::Cursor, AppKeys, MemoryStore, Sessions};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
/// # let no_headers: &[(&str, &str)] = &[];
/// let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
/// session.set_owner("user-42")?;
/// session.set_label("Firefox on Linux")?;
/// session.commit().await?;
///
/// let directory = session.directory()?;
/// let page = directory.sessions_of("user-42", Cursor::default()).await?;
/// let [here] = page.sessions.try_into().unwrap();
/// assert!(here.current);
/// assert_eq!(here.label.as_deref(), Some("Firefox on Linux"));
/// assert_eq!(directory.destroy_others("user-42").await?, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct SessionDirectory {
    sessions: Sessions,
    viewer: Viewer,
}

/// Who looks into the directory.
#[derive(Clone, Debug)]
enum Viewer {
    /// The application itself.
    Operator,
    /// A visitor with this session.
    Visitor(Session),
}

/// Some sessions of an owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionPage {
    /// The live sessions of this page, the one that was used last first.
    pub sessions: Vec<SessionInfo>,
    /// Where to go on; nothing at the end.
    pub next: Option<Cursor>,
}

/// What the directory says of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Names the session for [`SessionDirectory::destroy`], whatever its token is by then; 64
    /// characters of base64url. It signs nobody in, so a page may show it.
    pub handle: String,
    /// When the session began.
    pub created: Timestamp,
    /// When it became its owner's: the sign-in.
    pub signed_in: Timestamp,
    /// When it was last used, to a tenth of the idle timeout.
    pub last_seen: Timestamp,
    /// What the application said of the device, with [`Session::set_label`].
    pub label: Option<String>,
    /// Whether it is the session that the directory was asked for from.
    pub current: bool,
}

impl Sessions {
    /// The directory of all owners, for administrators.
    ///
    /// # Errors
    /// [`Error::is_unsupported`] where the driver keeps no list of sessions, as the cookie driver.
    pub fn directory(&self) -> Result<SessionDirectory, Error> {
        SessionDirectory::new(self.clone(), Viewer::Operator)
    }
}

impl Session {
    /// The directory as this visitor may use it.
    ///
    /// # Errors
    /// [`Error::is_unsupported`] where the driver keeps no list of sessions, as the cookie driver.
    pub fn directory(&self) -> Result<SessionDirectory, Error> {
        SessionDirectory::new(self.sessions().clone(), Viewer::Visitor(self.clone()))
    }
}

/// A live session of an owner.
struct Listed {
    key: RecordKey,
    expires: Timestamp,
    record: Record,
    owner: Owner,
}

impl SessionDirectory {
    fn new(sessions: Sessions, viewer: Viewer) -> Result<Self, Error> {
        sessions.lookup("list sessions")?.index("list sessions")?;
        Ok(Self { sessions, viewer })
    }

    /// Returns live sessions of `owner`, from the place `from` on: about 128, and all of them while
    /// [`max_sessions`](crate::SessionsBuilder::max_sessions) is below. Begin with
    /// [`Cursor::default`]; a session may be on two pages.
    ///
    /// A page looks at about 1,024 entries of the store's index. It is shorter, or empty although
    /// more follow, if most of these name sessions that have ended: go on until
    /// [`next`](SessionPage::next) is `None`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn sessions_of(&self, owner: &str, from: Cursor) -> Result<SessionPage, Error> {
        let (reached, next) =
            self.sessions.lookup("list sessions")?.page_of(&OwnerKey::of(owner), from).await?;
        let entries = reached.into_iter().filter_map(Listed::of);
        let mut sessions: Vec<_> = entries.map(|entry| self.describe(&entry)).collect();
        sessions.sort_by_key(|session| std::cmp::Reverse(session.last_seen));
        Ok(SessionPage { sessions, next })
    }

    /// Ends the session that `handle` names. Returns whether it was there: no handle leads to a
    /// session that has ended, or in a visitor's directory to another owner's.
    ///
    /// Its requests that are under way commit nothing more. To end the current session use
    /// [`Session::destroy`], which removes the cookie as well.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn destroy(&self, handle: &str) -> Result<bool, Error> {
        let Some(handle) = Handle::parse(handle).filter(|handle| self.may_end(handle)) else {
            return Ok(false);
        };
        let lookup = self.sessions.lookup("end a session")?;
        lookup
            .destroy(
                || async move { Ok(lookup.by_owned_handle(handle).await?.map(|found| found.key)) },
            )
            .await
    }

    /// Ends every session of `owner`, the current one included, and says how many there were.
    ///
    /// # Errors
    /// When the store fails; those that were ended until then stay ended. [`Error::is_contention`] when
    /// their own requests regenerated them faster, until the
    /// [deadline](crate::SessionsBuilder::commit_deadline).
    pub async fn destroy_all(&self, owner: &str) -> Result<usize, Error> {
        self.destroy_where(&OwnerKey::of(owner), |_| true).await
    }

    /// The same, except for the current session: "sign out everywhere else".
    ///
    /// # Errors
    /// As [`destroy_all`](Self::destroy_all).
    pub async fn destroy_others(&self, owner: &str) -> Result<usize, Error> {
        self.destroy_where(&OwnerKey::of(owner), |entry| !self.is_current(entry)).await
    }

    fn is_current(&self, entry: &Listed) -> bool {
        match &self.viewer {
            Viewer::Operator => false,
            Viewer::Visitor(session) => session.is_stored_as(&entry.key, &entry.owner),
        }
    }

    fn may_end(&self, handle: &Handle) -> bool {
        match &self.viewer {
            Viewer::Operator => true,
            Viewer::Visitor(session) => {
                session.owned().is_some_and(|owner| owner.key() == handle.owner)
            }
        }
    }

    fn describe(&self, entry: &Listed) -> SessionInfo {
        let lifetimes = self.sessions.context().lifetimes();
        SessionInfo {
            handle: entry.owner.handle().to_string(),
            created: entry.record.created,
            signed_in: entry.owner.since,
            last_seen: lifetimes.last_used(&entry.record, entry.expires),
            label: entry.record.label.as_deref().map(ToOwned::to_owned),
            current: self.is_current(entry),
        }
    }

    /// Ends the sessions that are `wanted`. Returns how many there were.
    async fn destroy_where(
        &self,
        owner: &OwnerKey,
        wanted: impl Fn(&Listed) -> bool,
    ) -> Result<usize, Error> {
        let lookup = self.sessions.lookup("end a session")?;
        let (mut ended, mut next) = (0, Some(Cursor::default()));
        while let Some(from) = next {
            let (reached, following) = lookup.page_of(owner, from).await?;
            let entries = reached.into_iter().filter_map(Listed::of);
            for entry in entries.filter(|entry| wanted(entry)) {
                ended += usize::from(lookup.end_owned(entry.key, entry.owner.id).await?);
            }
            next = following;
        }
        Ok(ended)
    }
}

impl Listed {
    fn of(LiveRecord { key, stored, record }: LiveRecord) -> Option<Self> {
        let owner = record.owner.clone()?;
        Some(Self { key, expires: stored.expires, record, owner })
    }
}
