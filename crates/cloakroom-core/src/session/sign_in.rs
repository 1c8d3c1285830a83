//! Signing in and out.

use std::time::Duration;

use crate::{
    error::Error,
    record::{
        change::Change,
        owner::{Owner, OwnerStamp},
    },
    session::{Session, security::INTENDED_URL},
    values::{Path, key::AsKey},
};

/// Who signs in, and how. A plain string is the owner alone.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # use std::time::Duration;
/// # let session = cloakroom::testing::session();
/// use cloakroom::{SignIn, device_name};
///
/// let user_agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
/// let month = Duration::from_secs(30 * 24 * 60 * 60);
/// session.sign_in(SignIn::of("user-42").idle_timeout(month).label(device_name(user_agent)))?;
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone, Debug)]
#[must_use = "pass it to `Session::sign_in`"]
pub struct SignIn {
    owner: Box<str>,
    label: Option<String>,
    level: u8,
    stamp: Option<OwnerStamp>,
    idle_timeout: Option<Duration>,
    absolute_timeout: Option<Duration>,
}

impl SignIn {
    /// Signs in this owner: the id or name that the application has for its user.
    pub fn of(owner: impl Into<String>) -> Self {
        Self {
            owner: owner.into().into(),
            label: None,
            level: 0,
            stamp: None,
            idle_timeout: None,
            absolute_timeout: None,
        }
    }

    /// Sets the idle timeout of this session, for a box "remember me". Default: that of the settings, also
    /// if the session had its own before. [`Session::set_idle_timeout`] has the rules.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle_timeout = Some(idle);
        self
    }

    /// Sets the absolute timeout of this session, which begins now. Default: that of the settings.
    pub fn absolute_timeout(mut self, absolute: Duration) -> Self {
        self.absolute_timeout = Some(absolute);
        self
    }

    /// Sets the text that describes the session in the owner's list, as [`Session::set_label`] does. Take
    /// it from [`device_name`](crate::device_name).
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Sets how strongly the visitor has proved who they are, such as 1 for a password and 2 for a second
    /// factor. The application gives the levels their meaning. Default: 0.
    ///
    /// [`RequireOwner::level`](crate::RequireOwner::level) asks for a level.
    pub fn level(mut self, level: u8) -> Self {
        self.level = level;
        self
    }

    /// Sets the owner's stamp, as [`Session::set_owner_stamp`] does.
    pub fn stamp(mut self, stamp: impl AsRef<[u8]>) -> Self {
        self.stamp = Some(OwnerStamp::of(stamp.as_ref()));
        self
    }
}

impl From<&str> for SignIn {
    fn from(owner: &str) -> Self {
        Self::of(owner)
    }
}

impl From<&String> for SignIn {
    fn from(owner: &String) -> Self {
        Self::of(owner)
    }
}

impl From<String> for SignIn {
    fn from(owner: String) -> Self {
        Self::of(owner)
    }
}

impl Session {
    /// Signs a user in. Call it once their password, passkey or identity provider has proved who they are.
    ///
    /// It does all that a sign-in needs, in one commit:
    ///
    /// 1. The session gets a new token, as by [`regenerate`](Self::regenerate) (OWASP ASVS 5.0, 7.2.4).
    /// 2. It gets the owner, whose sessions can then be listed and ended
    ///    ([`owner_sessions`](Self::owner_sessions)), up to
    ///    [`max_sessions`](crate::SessionsBuilder::max_sessions). The cookie driver keeps no such list.
    /// 3. The moment counts as a proof of identity
    ///    ([`authenticated_within`](Self::authenticated_within)).
    /// 4. Both timeouts begin again: those of [`SignIn`], or those of the settings.
    ///
    /// The values of the visitor stay, such as a cart. If the session belongs to another owner, it is
    /// [destroyed](Self::destroy) first, so that one user never gets the values of another. Only the
    /// [intended URL](Self::set_intended_url) is kept.
    ///
    /// Concurrent requests that end the session do not undo the sign-in, as
    /// [`set_owner`](Self::set_owner) describes.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("cart", 3)?;
    /// session.sign_in("user-42")?;
    /// assert_eq!(session.owner().as_deref(), Some("user-42"));
    /// assert_eq!(session.get("cart")?, Some(3));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn sign_in(&self, sign_in: impl Into<SignIn>) -> Result<(), Error> {
        let SignIn { owner, label, level, stamp, idle_timeout, absolute_timeout } = sign_in.into();
        if self.owned().is_some_and(|had| had.name != owner) {
            self.destroy_except([INTENDED_URL])?;
        } else {
            self.regenerate()?;
        }
        let (now, lifetimes) = (self.now(), self.sessions().context().lifetimes());
        let owner = Owner { level, stamp, ..self.owner_entry(&owner) };
        self.state().work.change(Change::Own(Some(owner)))?;
        self.mark_authenticated()?;
        self.change_idle_timeout(idle_timeout)?;
        let absolute = absolute_timeout.map(|span| now + span);
        let absolute = absolute.or_else(|| lifetimes.absolute_deadline(now));
        self.state().work.change(Change::AbsoluteDeadline(absolute))?;
        label.map_or(Ok(()), |label| self.set_label(&label))
    }

    /// Signs the visitor out: ends the session with all its values. The same as
    /// [`destroy`](Self::destroy).
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.sign_in("user-42")?;
    /// session.sign_out()?;
    /// assert_eq!(session.owner(), None);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn sign_out(&self) -> Result<(), Error> {
        self.destroy()
    }

    /// Signs the visitor out and keeps the values under `keys`, such as a cart, for the new session that
    /// follows.
    ///
    /// # Errors
    /// [`Error::is_bad_key`] as [`put`](Self::put). After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.put("cart", 3)?;
    /// session.sign_in("user-42")?;
    /// session.put("address", "…")?;
    /// session.sign_out_keeping(["cart"])?;
    /// assert_eq!((session.get("cart")?, session.has("address")), (Some(3), false));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn sign_out_keeping<K: AsKey>(
        &self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<(), Error> {
        self.destroy_except(keys)
    }

    /// Ends the session. Puts the values under `keys` into the session that follows.
    fn destroy_except<K: AsKey>(&self, keys: impl IntoIterator<Item = K>) -> Result<(), Error> {
        let mut kept = Vec::new();
        for key in keys {
            let path = Path::of(&key)?;
            kept.extend(self.state().values().text(path).map(|value| (path.to_owned(), value)));
        }
        self.destroy()?;
        let mut state = self.state();
        let mut kept = kept.into_iter();
        kept.try_for_each(|(path, value)| state.work.change(Change::Put { path, value }))
    }

    /// Stores a stamp with the owner of this session: a value that changes when all sessions of the owner
    /// have to end, such as the hash of the password. Only its SHA-256 is stored.
    ///
    /// The stamp is compared with that of [`Users`](crate::Users) where a handler asks who is signed in. A
    /// session with another stamp is ended there. So a change of the password signs out every other
    /// session, on every driver. Call this in the session that changes the password, which stays signed in.
    ///
    /// Does nothing for a session without an owner.
    ///
    /// # Errors
    /// After the commit, as every change.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.sign_in("user-42")?;
    /// session.set_owner_stamp("$argon2id$v=19$…")?;
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn set_owner_stamp(&self, stamp: impl AsRef<[u8]>) -> Result<(), Error> {
        let Some(Owner { name: owner, .. }) = self.owned() else { return Ok(()) };
        let stamp = OwnerStamp::of(stamp.as_ref());
        self.state().work.change(Change::Stamp { owner, stamp })
    }

    /// Returns how strongly the owner has proved who they are: the [`SignIn::level`] of the sign-in, and 0
    /// without an owner.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// session.sign_in(cloakroom::SignIn::of("user-42").level(2))?;
    /// assert_eq!(session.authentication_level(), 2);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn authentication_level(&self) -> u8 {
        self.owned().map_or(0, |owner| owner.level)
    }
}
