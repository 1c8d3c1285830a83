//! Every session there is: for operators and their tools.

use futures_util::future::try_join_all;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    backend::{
        lookup::{BATCH, LiveRecord, name},
        store::failed,
    },
    error::Error,
    record::{flash::Bags, lifetimes::end},
    session::sessions::Sessions,
};
use cloakroom_store::{Cursor, KeyPage, OwnerKey, clock::Timestamp};

/// Every live session of a store, with its owner or without. What the command line tool shows.
///
/// For a visitor's own sessions take the [`SessionDirectory`](crate::SessionDirectory): it looks at
/// these alone, where this one goes through all.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # use cloakroom::{store::Cursor, AppKeys, MemoryStore, Sessions};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
/// let inventory = sessions.inventory()?;
/// let (mut live, mut next) = (0, Some(Cursor::default()));
/// while let Some(place) = next {
///     let page = inventory.page(place).await?;
///     live += page.sessions.len();
///     next = page.next;
/// }
/// assert_eq!(live, 0);
/// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone, Debug)]
pub struct Inventory(Sessions);

/// Some sessions of an [`Inventory`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct InventoryPage {
    /// The live sessions of this page; one may come twice in one round.
    pub sessions: Vec<SessionSummary>,
    /// Where to go on; nothing at the end.
    pub next: Option<Cursor>,
}

/// What is said of a session without showing what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SessionSummary {
    /// Names the session, as [`Session::handle`](crate::Session::handle) does. It signs nobody in.
    pub handle: String,
    /// Whose it is, if anyone's.
    pub owner: Option<String>,
    /// What the application said of the device.
    pub label: Option<String>,
    /// When it began.
    pub created: Timestamp,
    /// When it was last used, to a tenth of the idle timeout.
    pub last_seen: Timestamp,
    /// When it ends unless it is used.
    pub expires: Timestamp,
    /// How many bytes its record has.
    pub bytes: usize,
}

/// A session with what is in it.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct SessionContents {
    /// What is said of it without showing these.
    pub summary: SessionSummary,
    /// Its values.
    pub values: Map<String, Value>,
    /// Flash messages that wait for the next page.
    pub messages: Map<String, Value>,
    /// Old form input that waits for the next page.
    pub input: Map<String, Value>,
    /// Errors by field that wait for the next page.
    pub errors: crate::form::FieldErrors,
}

/// Shows the summary alone: values are nobody's business in a log.
impl std::fmt::Debug for SessionContents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionContents").field("summary", &self.summary).finish_non_exhaustive()
    }
}

impl Sessions {
    /// Every session of the store.
    ///
    /// # Errors
    /// [`Error::is_unsupported`] where the driver cannot go through its sessions, as the cookie driver.
    pub fn inventory(&self) -> Result<Inventory, Error> {
        self.lookup("list sessions")?.scan("list sessions").map(|_| Inventory(self.clone()))
    }
}

impl Inventory {
    /// Some of the sessions, from `place` on.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn page(&self, place: Cursor) -> Result<InventoryPage, Error> {
        let lookup = self.0.lookup("list sessions")?;
        let page = lookup.scan("list sessions")?.scan(place).await;
        let KeyPage { keys, next, .. } = page.map_err(|cause| failed("list sessions", cause))?;
        let mut sessions = Vec::new();
        for batch in keys.chunks(BATCH) {
            let reached = try_join_all(batch.iter().map(|key| lookup.by_key(*key))).await?;
            sessions.extend(reached.iter().flatten().map(|found| self.summary(found)));
        }
        Ok(InventoryPage { sessions, next })
    }

    /// Returns live sessions of one owner, from `place` on, without going through those of others.
    /// A page looks at about 1,024 entries of the store's index, so it may be empty although more
    /// follow.
    ///
    /// # Errors
    /// When the store fails; [`Error::is_unsupported`] where it keeps no index of owners.
    pub async fn sessions_of(&self, owner: &str, place: Cursor) -> Result<InventoryPage, Error> {
        let (reached, next) =
            self.0.lookup("list sessions")?.page_of(&OwnerKey::of(owner), place).await?;
        Ok(InventoryPage {
            sessions: reached.iter().map(|found| self.summary(found)).collect(),
            next,
        })
    }

    /// The session that `handle` names, if it is live: a handle of this inventory, of
    /// [`SessionInfo`](crate::SessionInfo) or of [`Session::handle`](crate::Session::handle).
    ///
    /// # Errors
    /// When the store fails.
    pub async fn contents(&self, handle: &str) -> Result<Option<SessionContents>, Error> {
        let Some(reached) = self.0.lookup("find a session")?.by_handle(handle).await? else {
            return Ok(None);
        };
        let Bags { messages, input, errors } = reached.record.flash.shown().unwrap_or_default();
        Ok(Some(SessionContents {
            summary: self.summary(&reached),
            values: reached.record.values.all(),
            messages: messages.all(),
            input: input.all(),
            errors,
        }))
    }

    /// Ends the session that `handle` names. Returns whether there was one.
    ///
    /// # Errors
    /// When the store fails; [`Error::is_contention`] when its own requests regenerated it faster,
    /// until the [deadline](crate::SessionsBuilder::commit_deadline).
    pub async fn destroy(&self, handle: &str) -> Result<bool, Error> {
        let lookup = self.0.lookup("end a session")?;
        let find = || async move {
            let found = lookup.by_handle_following_rotations(handle).await?;
            Ok(found.map(|found| found.key))
        };
        lookup.destroy(find).await
    }

    fn summary(&self, LiveRecord { key, stored, record }: &LiveRecord) -> SessionSummary {
        SessionSummary {
            handle: name(record.owner.as_ref(), *key),
            owner: record.owner.as_ref().map(|owner| owner.name.to_string()),
            label: record.label.as_deref().map(ToOwned::to_owned),
            created: record.created,
            last_seen: self.0.context().lifetimes().last_used(record, stored.expires),
            expires: end(record, stored.expires),
            bytes: stored.bytes.len(),
        }
    }
}
