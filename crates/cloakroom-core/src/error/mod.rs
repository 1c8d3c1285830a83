//! The error of every operation on a session, and the one of settings.

mod config;
mod kind;

use std::{error::Error as StdError, fmt, sync::Arc};

pub use self::config::ConfigError;
pub(crate) use self::kind::{BadKey, FormReply, Kind};

/// The reason why an operation on a session failed, or a form is invalid. It is a response on axum and
/// actix-web.
///
/// Methods such as [`is_unavailable`](Self::is_unavailable) tell errors apart. The kind is private, so
/// that later versions can add kinds. Messages name keys and types, and never values.
/// [`source`](StdError::source) returns the cause, which `Display` does not repeat.
/// [The guide](https://docs.rs/cloakroom/latest/cloakroom/guide/errors/) shows how to use this error in an
/// error type of your own.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # use cloakroom::Sessions;
/// # let session = cloakroom::testing::session();
/// session.put("age", "forty")?;
/// let error = session.get::<u8>("age").unwrap_err();
/// assert!(error.is_decode());
/// assert_eq!(error.code(), "decode");
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone)]
pub struct Error(Arc<Kind>);

impl Error {
    /// Returns one stable word for the kind of failure, for clients and metrics: `bad_key`, `decode`, `encode`,
    /// `not_a_number`, `not_an_object`, `overflow`, `committed`, `read_only`, `no_input`,
    /// `too_large`, `contention`, `store`, `unsupported`, `locked`, `no_users`, `unprotected` or `invalid_form`.
    pub fn code(&self) -> &'static str {
        match *self.0 {
            Kind::BadKey { .. } => "bad_key",
            Kind::Decode { .. } => "decode",
            Kind::Encode { .. } | Kind::TooDeep { .. } => "encode",
            Kind::NotANumber { .. } => "not_a_number",
            Kind::NotAnObject { .. } => "not_an_object",
            Kind::Overflow { .. } => "overflow",
            Kind::Committed => "committed",
            Kind::NoInput => "no_input",
            Kind::TooLarge { .. } | Kind::RecordTooLarge { .. } => "too_large",
            Kind::InsideClosure | Kind::Ended => "read_only",
            Kind::Contention { .. } => "contention",
            Kind::Store { .. } => "store",
            Kind::Unsupported { .. } | Kind::CarriedByCookie => "unsupported",
            Kind::Locked => "locked",
            Kind::NoUsers { .. } => "no_users",
            Kind::Unprotected { .. } => "unprotected",
            Kind::InvalidForm { .. } => "invalid_form",
        }
    }

    /// Returns whether a stored value has another type than the one that was asked for.
    pub fn is_decode(&self) -> bool {
        matches!(*self.0, Kind::Decode { .. })
    }

    /// Returns whether a record is sealed by an application key that the caller does not have. Only tools
    /// that read the records of [any application](crate::SessionsBuilder::any_application) get this error.
    pub fn is_locked(&self) -> bool {
        matches!(*self.0, Kind::Locked)
    }

    /// Returns whether a key is longer than 1 KiB, has more than 32 segments, or names a value that only the
    /// library writes.
    pub fn is_bad_key(&self) -> bool {
        matches!(*self.0, Kind::BadKey { .. })
    }

    /// Returns whether the session was changed after its last commit, which is too late to keep the
    /// change.
    pub fn is_committed(&self) -> bool {
        matches!(*self.0, Kind::Committed)
    }

    /// Returns whether the session no longer fits into the cookies that it is allowed, or its record into
    /// the limit of stores ([`SessionsBuilder::max_bytes`](crate::SessionsBuilder::max_bytes)).
    pub fn is_too_large(&self) -> bool {
        matches!(*self.0, Kind::TooLarge { .. } | Kind::RecordTooLarge { .. })
    }

    /// Returns by how many bytes of its JSON text a record is too large, if it is.
    pub(crate) fn excess(&self) -> Option<usize> {
        match *self.0 {
            // Four characters carry three bytes.
            Kind::TooLarge { size, limit } => Some((size - limit).div_ceil(4) * 3),
            Kind::RecordTooLarge { size, limit } => Some(size - limit),
            _ => None,
        }
    }

    /// Returns whether the configured driver or layer does not support the operation. The cookie driver,
    /// for example, keeps no list of sessions.
    pub fn is_unsupported(&self) -> bool {
        matches!(*self.0, Kind::Unsupported { .. } | Kind::CarriedByCookie)
    }

    /// Returns whether other requests kept writing this session until the
    /// [deadline](crate::SessionsBuilder::commit_deadline). The same request may succeed if it is sent
    /// again.
    pub fn is_contention(&self) -> bool {
        matches!(*self.0, Kind::Contention { .. })
    }

    /// Returns whether a form was invalid. [`Input::check`](crate::Input::check) and
    /// [`Input::valid`](crate::Input::valid) return this error. Its response is the reply to the visitor.
    pub fn is_invalid_form(&self) -> bool {
        self.form_reply().is_some()
    }

    /// Returns the reply to an invalid form, if that is the error.
    pub(crate) fn form_reply(&self) -> Option<&FormReply> {
        match &*self.0 {
            Kind::InvalidForm { reply, .. } => Some(reply),
            _ => None,
        }
    }

    /// Returns the status for the client: 503 if the same request may succeed later
    /// ([`is_unavailable`](Self::is_unavailable), [`is_contention`](Self::is_contention)), 303 or 422 for
    /// an [invalid form](Self::is_invalid_form), and 500 otherwise.
    pub fn http_status(&self) -> u16 {
        match self.form_reply() {
            Some(FormReply::SeeOther(_)) => 303,
            Some(FormReply::Json(_)) => 422,
            None if self.is_unavailable() || self.is_contention() => 503,
            None => 500,
        }
    }

    /// Returns whether the store could not be reached or did not reply in time, so that the same request
    /// may succeed later.
    pub fn is_unavailable(&self) -> bool {
        matches!(&*self.0, Kind::Store { cause, .. } if cause.is_unavailable())
    }

    /// Returns `true` if the store failed, so that a step may have been carried out.
    pub(crate) fn is_of_store(&self) -> bool {
        matches!(&*self.0, Kind::Store { .. })
    }
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(Arc::new(kind))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Shows the message and its causes, for logs and for a failed `unwrap` in a test.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({}: {})", self.code(), WithCauses(self))
    }
}

/// Displays an error and its causes in one line.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::WithCauses;
///
/// let error = std::io::Error::other("the disk is full");
/// assert_eq!(WithCauses(&error).to_string(), "the disk is full");
/// ```
#[derive(Debug)]
pub struct WithCauses<'a>(pub &'a dyn StdError);

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = self.0.to_string();
        f.write_str(&written)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            // The messages of some libraries repeat those of their sources.
            let message = error.to_string();
            if message != written {
                write!(f, ": {message}")?;
            }
            (cause, written) = (error.source(), message);
        }
        Ok(())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &*self.0 {
            Kind::Encode { cause, .. } => Some(cause),
            Kind::Store { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
