//! Whose session it is.

use crate::session::Session;
use crate::{
    backend::Backend,
    error::{Error, Kind},
    record::{change::Change, owner::Owner},
};

impl Session {
    /// Says whose session it is, as the application names its users: what
    /// [`directory`](Self::directory) finds it by, and [`NotBefore`](crate::NotBefore) is asked
    /// about. Call it at sign-in, next to [`regenerate`](Self::regenerate).
    ///
    /// An owner who has [`max_sessions`](crate::SessionsBuilder::max_sessions) already loses the one
    /// that was not used for the longest time, at the commit. The same owner once more moves the time
    /// of the sign-in: the session keeps its [`handle`](Self::handle), and no other ends.
    ///
    /// The owner is not a value: [`all`](Self::all) does not show it and [`clear`](Self::clear)
    /// leaves it. Concurrent requests that set it decide as two `put`s of one key would.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # use cloakroom::{AppKeys, MemoryStore, Sessions};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let sessions = Sessions::store(MemoryStore::new(), AppKeys::random()).build()?;
    /// # let no_headers: &[(&str, &str)] = &[];
    /// # let session = cloakroom::adapter::RequestContext::new(&sessions).session(no_headers).await?;
    /// session.regenerate()?;
    /// session.set_owner("user-42")?;
    /// session.set_label("Firefox on Linux")?;
    /// assert_eq!(session.owner().as_deref(), Some("user-42"));
    /// # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// [`Error::is_unsupported`] where nobody would ask for it: on a driver that keeps no list of
    /// sessions, as the cookie driver, and without a [`NotBefore`](crate::NotBefore). After the
    /// commit, as every change.
    pub fn set_owner(&self, owner: &str) -> Result<(), Error> {
        let sessions = self.sessions();
        if !sessions.has_use_for_owners() {
            let driver = sessions.driver_name();
            return Err(Kind::Unsupported { attempted: "give the session an owner", driver }.into());
        }
        let mut state = self.state();
        let now = sessions.context().now();
        let owner = match state.owner() {
            Some(had) if *had.name == *owner => Owner { since: now, ..had.clone() },
            _ => Owner::new(owner, now, state.work.current_token().record_key().tag()),
        };
        state.work.change(Change::Own(Some(owner)))
    }

    /// Takes the session from its owner. To sign out, rather [`destroy`](Self::destroy) it.
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn forget_owner(&self) -> Result<(), Error> {
        self.state().work.change(Change::Own(None))
    }

    /// What the owner's list says of this session: a device, an address, whatever the application
    /// shows its users. Escape it there like anything that came with a request.
    ///
    /// # Errors
    /// After the commit, as every change.
    pub fn set_label(&self, label: &str) -> Result<(), Error> {
        self.state().work.change(Change::Label(label.into()))
    }

    /// Whose session it is, if it is anyone's.
    pub fn owner(&self) -> Option<String> {
        self.owned().map(|owner| owner.name.into())
    }

    pub(crate) fn owned(&self) -> Option<Owner> {
        self.state().owner().cloned()
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

impl Session {
    /// What [`Sessions::edit`](crate::Sessions::edit) and the command line tool find this session by, from its commit on;
    /// nothing on the cookie driver. It signs nobody in.
    ///
    /// Of a session with an owner it stays the same as long as the session lives. Of others it leads
    /// to the session until it is regenerated. One that ended before or during this request has none,
    /// whatever became of its key, nor has a visitor for whom nothing was put.
    pub fn handle(&self) -> Option<String> {
        match self.sessions().backend() {
            Backend::Store(_) => self
                .record_key()
                .map(|key| crate::backend::lookup::name(self.owned().as_ref(), key)),
            Backend::Cookie(_) => None,
        }
    }
}
