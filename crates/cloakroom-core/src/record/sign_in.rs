//! The details of a sign-in.

use std::time::Duration;

use crate::record::{
    change::Change,
    lifetimes::Lifetimes,
    owner::{Owner, OwnerStamp},
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
    pub(crate) owner: Box<str>,
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
    /// if the session had its own before. [`Session::set_idle_timeout`](crate::Session::set_idle_timeout) has the rules.
    pub fn idle_timeout(mut self, idle: Duration) -> Self {
        self.idle_timeout = Some(idle);
        self
    }

    /// Sets the absolute timeout of this session, which begins now. Default: that of the settings.
    pub fn absolute_timeout(mut self, absolute: Duration) -> Self {
        self.absolute_timeout = Some(absolute);
        self
    }

    /// Sets the text that describes the session in the owner's list, as [`Session::set_label`](crate::Session::set_label) does. Take
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

    /// Sets the owner's stamp, as [`Session::set_owner_stamp`](crate::Session::set_owner_stamp) does.
    pub fn stamp(mut self, stamp: impl AsRef<[u8]>) -> Self {
        self.stamp = Some(OwnerStamp::of(stamp.as_ref()));
        self
    }

    /// Returns the changes that sign in `owner`, who is the one of this sign-in without its details.
    pub(crate) fn changes(
        self,
        owner: Owner,
        lifetimes: &Lifetimes,
    ) -> impl Iterator<Item = Change> + use<> {
        let Self { label, level, stamp, idle_timeout, absolute_timeout, .. } = self;
        let absolute = absolute_timeout.map(|span| owner.since + span);
        let absolute = absolute.or_else(|| lifetimes.absolute_deadline(owner.since));
        let changes = [
            Change::Own(Some(Owner { level, stamp, ..owner })),
            Change::idle_timeout(idle_timeout),
            Change::AbsoluteDeadline(absolute),
        ];
        changes.into_iter().chain(label.map(|label| Change::Label(label.into())))
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
