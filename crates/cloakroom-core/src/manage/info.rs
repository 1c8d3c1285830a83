//! The description of a session in lists.

use serde::Serialize;

use crate::{
    backend::lookup::{Found, LiveRecord, Lookup},
    record::{handle::SessionHandle, lifetimes::end},
};
use cloakroom_store::{Cursor, clock::Timestamp};

/// Describes a session without its values.
///
/// [`SessionAdmin`](crate::SessionAdmin) and [`OwnerSessions`](crate::OwnerSessions) return it.
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
/// let page = sessions.admin()?.sessions_of("user-42", Cursor::default()).await?;
/// let info = &page.sessions[0];
/// assert_eq!(Some(info.handle), session.handle());
/// assert_eq!(info.owner.as_deref(), Some("user-42"));
/// assert_eq!(info.label.as_deref(), Some("Firefox on Linux"));
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionInfo {
    /// The handle of the session. It cannot be used to sign in, so a page may show it.
    pub handle: SessionHandle,
    /// The owner's name, if the session has an owner.
    pub owner: Option<String>,
    /// The label that the application has set with [`Session::set_label`](crate::Session::set_label).
    pub label: Option<String>,
    /// The time at which the session began.
    pub created: Timestamp,
    /// The time at which the owner signed in, if the session has an owner.
    pub signed_in: Option<Timestamp>,
    /// The time at which the session was bound to the device of the visitor, if it is bound to one.
    pub device_since: Option<Timestamp>,
    /// The time of the last use, to a tenth of the idle timeout.
    pub last_seen: Timestamp,
    /// The time at which the session ends if it is not used before.
    pub expires: Timestamp,
    /// The size of the stored record in bytes.
    pub bytes: usize,
    /// Whether this is the session of the current request. [`SessionAdmin`](crate::SessionAdmin) always
    /// sets it to `false`.
    pub current: bool,
}

impl SessionInfo {
    pub(super) fn of(found: &LiveRecord, lookup: &Lookup<'_>, current: bool) -> Self {
        let LiveRecord { stored, record, .. } = found;
        Self {
            handle: lookup.handle(found),
            owner: record.owner.as_ref().map(|owner| owner.name.to_string()),
            label: record.label.as_deref().map(ToOwned::to_owned),
            created: record.created,
            signed_in: record.owner.as_ref().map(|owner| owner.since),
            device_since: record.device.as_ref().map(|device| device.since),
            last_seen: lookup.lifetimes().last_used(record, stored.expires),
            expires: end(record, stored.expires),
            bytes: stored.bytes.len(),
            current,
        }
    }
}

/// A part of a list of sessions.
///
/// To read a list from its beginning to its end, start with [`Cursor::default`] and go on with
/// [`next`](Self::next) until it is `None`. A page may be empty although more follow, and a session
/// may be on two pages.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # use cloakroom::{store::Cursor, AppKeys, MemoryStore, Sessions};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
/// let admin = sessions.admin()?;
/// let (mut handles, mut next) = (std::collections::HashSet::new(), Some(Cursor::default()));
/// while let Some(from) = next {
///     let page = admin.page(from).await?;
///     handles.extend(page.sessions.iter().map(|info| info.handle));
///     next = page.next;
/// }
/// assert_eq!(handles.len(), 0);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionPage {
    /// The live sessions of this page. Lists of one owner are sorted within a page: the session that
    /// was used last comes first.
    pub sessions: Vec<SessionInfo>,
    /// How many further live sessions are sealed by an application key that these [`Sessions`](crate::Sessions)
    /// do not have. It is 0 unless they read the records of
    /// [any application](crate::SessionsBuilder::any_application). In an owner's list there are at most as
    /// many, because only the record says whose it is.
    pub locked: usize,
    /// Where the next page begins. `None` after the last page.
    pub next: Option<Cursor>,
}

impl SessionPage {
    /// Makes a page of the sessions that were found.
    pub(super) fn of(
        found: &Found,
        next: Option<Cursor>,
        info: impl Fn(&LiveRecord) -> SessionInfo,
    ) -> Self {
        let Found { live, locked } = found;
        Self { sessions: live.iter().map(info).collect(), locked: *locked, next }
    }

    /// Sorts the page as an owner's list.
    pub(super) fn newest_first(mut self) -> Self {
        self.sessions.sort_by_key(|info| std::cmp::Reverse(info.last_seen));
        self
    }
}
