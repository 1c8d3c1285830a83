//! Sessions reached from outside their requests, by handle.

use std::fmt;

use crate::{
    Error, Session, Sessions,
    driver::Driver,
    error::Kind,
    lifetimes::is_live,
    owner::{Handle, Owner},
    record::Record,
    store::{Enumerate, Found, RecordKey, Store, StoreError, Stored},
};

/// How often a session that is changed or regenerated at that very moment is looked up again.
pub(crate) const ATTEMPTS: u32 = 64;

/// What a handle names.
enum Named {
    /// A session of an owner, whatever its token is by then.
    Owned(Handle),
    /// A session by its record key, and those that a rotation leads to as long as its tombstone
    /// lasts.
    Kept(RecordKey),
}

impl Named {
    fn parse(handle: &str) -> Option<Self> {
        RecordKey::parse(handle).map(Self::Kept).or_else(|| Handle::parse(handle).map(Self::Owned))
    }
}

/// A live record, and where it is.
pub(crate) struct Reached {
    pub(crate) key: RecordKey,
    pub(crate) stored: Stored,
    pub(crate) record: Record,
}

impl Session {
    /// What [`Sessions::edit`] and the command line tool find this session by, from its commit on;
    /// nothing on the cookie driver. It signs nobody in.
    ///
    /// Of a session with an owner it stays the same as long as the session lives. Of others it leads
    /// to the session until it is regenerated.
    pub fn handle(&self) -> Option<String> {
        matches!(self.sessions().engine().driver(), Driver::Store(_))
            .then(|| name(self.owned().as_ref(), self.record_key()))
    }
}

/// What names a session of this owner, if it has one, under this key.
pub(crate) fn name(owner: Option<&Owner>, key: RecordKey) -> String {
    owner.map_or_else(|| key.to_string(), |owner| owner.handle().to_string())
}

impl Sessions {
    pub(crate) fn backend(&self, attempted: &'static str) -> Result<&dyn Store, Error> {
        match self.engine().driver() {
            Driver::Store(store) => Ok(&**store),
            driver @ Driver::Cookie(_) => {
                Err(Kind::Unsupported { attempted, driver: driver.name() }.into())
            }
        }
    }

    pub(crate) fn enumerable(&self, attempted: &'static str) -> Result<&dyn Enumerate, Error> {
        let store = self.backend(attempted)?;
        let driver = store.name();
        store.enumerate().ok_or_else(|| Kind::Unsupported { attempted, driver }.into())
    }

    /// The live session that `handle` names.
    pub(crate) async fn reach(&self, handle: &str) -> Result<Option<Reached>, Error> {
        let store = self.backend("find a session by its handle")?;
        let keys = match Named::parse(handle) {
            None => return Ok(None),
            Some(Named::Kept(key)) => vec![key],
            Some(Named::Owned(handle)) => {
                let keys = match store.directory() {
                    Some(directory) => directory.keys_of(&handle.owner).await,
                    None => return Ok(None),
                };
                keys.map_err(|cause| failed("list an owner's sessions", cause))?
            }
        };
        for key in keys {
            if let Some(reached) = self.reach_key(key).await?
                && is_named(&reached, handle)
            {
                return Ok(Some(reached));
            }
        }
        Ok(None)
    }

    /// The live session that `key` leads to.
    pub(crate) async fn reach_key(&self, key: RecordKey) -> Result<Option<Reached>, Error> {
        let store = self.backend("find a session by its key")?;
        let found = follow(store, key).await.map_err(|cause| failed("find a session", cause))?;
        Ok(found.and_then(|(key, stored)| {
            let record = Record::decode(&stored.record)?;
            let live = is_live(&record, stored.expires, self.engine().now());
            live.then_some(Reached { key, stored, record })
        }))
    }
}

/// The index may name too much: of an owner's sessions the record has the last word.
fn is_named(reached: &Reached, handle: &str) -> bool {
    match Named::parse(handle) {
        Some(Named::Owned(handle)) => {
            reached.record.owner.as_ref().is_some_and(|owner| owner.handle() == handle)
        }
        _ => true,
    }
}

/// The live record that `key` leads to, over the tombstones of regenerations.
pub(crate) async fn follow(
    store: &dyn Store,
    mut key: RecordKey,
) -> Result<Option<(RecordKey, Stored)>, StoreError> {
    for _ in 0..ATTEMPTS {
        match store.load(&key).await? {
            Some(Found::Live(stored)) => return Ok(Some((key, stored))),
            Some(Found::Tombstone { successor: Some(successor) }) => key = successor,
            Some(Found::Tombstone { successor: None }) | None => return Ok(None),
        }
    }
    Ok(None)
}

pub(crate) fn failed(attempted: &'static str, cause: StoreError) -> Error {
    Kind::Store { attempted, cause }.into()
}

/// Shows where it is, not what is in it.
impl fmt::Debug for Reached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reached").field("key", &self.key).finish_non_exhaustive()
    }
}
