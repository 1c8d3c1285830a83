//! Signing in and out.

use crate::{
    error::Error,
    record::{
        change::Change,
        owner::{Owner, OwnerStamp},
        sign_in::SignIn,
    },
    session::Session,
    values::{Path, key::AsKey, reserved::INTENDED_URL},
};

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
        let sign_in = sign_in.into();
        if self.owned().is_some_and(|had| had.name != sign_in.owner) {
            self.destroy_except(&[Path::of(INTENDED_URL)?.to_owned()])?;
        } else {
            self.regenerate()?;
        }
        let owner = self.owner_entry(&sign_in.owner);
        self.change_all(sign_in.changes(owner, self.sessions().context().lifetimes()))?;
        self.mark_authenticated()
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
        let paths = keys.into_iter().map(|key| Ok(Path::for_write(&key)?.to_owned()));
        self.destroy_except(&paths.collect::<Result<Vec<_>, Error>>()?)
    }

    /// Ends the session. Puts the values at `paths` into the session that follows.
    fn destroy_except(&self, paths: &[Path]) -> Result<(), Error> {
        let mut kept = Vec::new();
        for path in paths {
            let (state, path) = (self.state(), path.borrow());
            let record = state.work.record();
            let Some(value) = record.values.text(path) else { continue };
            kept.push(Change::Put { path: path.to_owned(), value });
            for (path, at) in record.value_deadlines_of(path) {
                let value = record.values.text(path.borrow());
                kept.extend(value.map(|value| Change::PutUntil { path, value, at }));
            }
        }
        self.destroy()?;
        self.change_all(kept)
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
