//! The error of every operation on a session.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use cloakroom_store::StoreError;

/// The reason why an operation on a session failed, or a form is invalid. It is a response on axum and
/// actix-web.
///
/// The kind is private so that it can grow. Questions such as [`is_unavailable`](Self::is_unavailable)
/// tell errors apart. Messages name keys and types, and never values. [`source`](StdError::source) has the
/// cause, which `Display` does not repeat. The guide's page on errors shows error types of your own.
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

pub(crate) enum Kind {
    /// Has no message of serde, because that can quote the value, which must not be in a log.
    Decode {
        key: String,
        expected: &'static str,
    },
    Encode {
        key: String,
        cause: serde_json::Error,
    },
    TooDeep {
        key: String,
        limit: usize,
    },
    /// A key beyond a limit. Only its beginning is kept, because it can be a visitor's text.
    BadKey {
        begins: String,
        problem: BadKey,
    },
    NotANumber {
        key: String,
        found: &'static str,
    },
    NotAnObject {
        key: String,
        found: &'static str,
    },
    Overflow {
        key: String,
    },
    Committed,
    NoInput,
    TooLarge {
        size: usize,
        limit: usize,
    },
    /// The record in a store would be larger than the limit.
    RecordTooLarge {
        size: usize,
        limit: usize,
    },
    Contention {
        attempts: u32,
        span: Duration,
    },
    /// A closure of `update` or `edit` changed the session.
    InsideClosure,
    /// A change that is of use only if it is committed, in a session that has ended.
    Ended,
    Store {
        attempted: &'static str,
        cause: StoreError,
    },
    Unsupported {
        attempted: &'static str,
        driver: &'static str,
    },
    /// A bearer token was asked for in a session that a cookie carries.
    CarriedByCookie,
    /// An invalid form, and the reply to it.
    InvalidForm {
        errors: String,
        reply: FormReply,
    },
}

/// The reply to an invalid form.
#[derive(Debug)]
pub(crate) enum FormReply {
    /// A redirect to this path, whose page shows the errors.
    SeeOther(String),
    /// The errors as JSON.
    Json(String),
}

/// The limit that a key exceeds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BadKey {
    Bytes { bytes: usize, limit: usize },
    Segments { segments: usize, limit: usize },
}

impl BadKey {
    /// Returns the part of a key that an error shows.
    pub(crate) fn beginning(key: &str) -> String {
        key.chars().take(32).flat_map(char::escape_debug).collect()
    }
}

impl Error {
    /// Returns one stable word for the kind of failure, for clients and metrics: `bad_key`, `decode`, `encode`,
    /// `not_a_number`, `not_an_object`, `overflow`, `committed`, `read_only`, `no_input`,
    /// `too_large`, `contention`, `store`, `unsupported` or `invalid_form`.
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
            Kind::InvalidForm { .. } => "invalid_form",
        }
    }

    /// Returns whether a stored value has another type than the one that was asked for.
    pub fn is_decode(&self) -> bool {
        matches!(*self.0, Kind::Decode { .. })
    }

    /// Returns whether a key is longer than 1 KiB or has more than 32 segments.
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

    /// Returns whether a form was invalid. This is the error of [`Input::check`](crate::Input::check) and
    /// [`Input::valid`](crate::Input::valid), and its response is the reply to the visitor.
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
    /// an [invalid form](Self::is_invalid_form), else 500.
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
}

impl From<Kind> for Error {
    fn from(kind: Kind) -> Self {
        Self(Arc::new(kind))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &*self.0 {
            Kind::Decode { key, expected } => {
                write!(f, "the session value `{key}` is not of the type {expected}")
            }
            Kind::Encode { key, .. } => write!(f, "the value for `{key}` cannot be written as JSON"),
            Kind::TooDeep { key, limit } => write!(
                f,
                "the value for `{key}` is nested deeper than {limit} levels of lists and objects, those \
                 between the key's dots included"
            ),
            Kind::BadKey { begins, problem } => {
                match problem {
                    BadKey::Bytes { bytes, limit } => {
                        write!(f, "a key has {bytes} bytes, and at most {limit} bytes are accepted")?;
                    }
                    BadKey::Segments { segments, limit } => write!(
                        f,
                        "a key has {segments} segments between dots, and at most {limit} segments are \
                         accepted; name text from outside with `Key::literal`"
                    )?,
                }
                write!(f, "; the key begins with `{begins}`")
            }
            Kind::NotANumber { key, found } => {
                write!(f, "cannot count with the session value `{key}`: it holds {found}")
            }
            Kind::NotAnObject { key, found } => {
                write!(f, "cannot put a value below `{key}`: an object is needed there, found {found}")
            }
            Kind::Overflow { key } => write!(
                f,
                "counting with the session value `{key}` leaves the range of whole numbers (64 bits)"
            ),
            Kind::Committed => f.write_str(
                "the session was changed after its commit; change it before the response is \
                 returned, or call `commit` while the handler still runs",
            ),
            Kind::NoInput => f.write_str(
                "there is no form input to flash; take the request's body with the `Input` extractor",
            ),
            Kind::TooLarge { size, limit } => write!(
                f,
                "the session takes {size} characters sealed and its cookies hold {limit}; keep \
                 less in it, raise `cookie.max_chunks`, or use a server-side driver"
            ),
            Kind::RecordTooLarge { size, limit } => write!(
                f,
                "the session's record would have {size} bytes and may have {limit}; keep less in it \
                 or raise `max_bytes`"
            ),
            Kind::Contention { attempts, span } => write!(
                f,
                "other requests kept writing this session: gave up after {span:?}, attempt {attempts}"
            ),
            Kind::InsideClosure => f.write_str(
                "a closure of `update` or `edit` changed a session; let it change its argument alone",
            ),
            Kind::Ended => f.write_str("the session has ended, so the change was not made"),
            Kind::Store { attempted, .. } => write!(f, "the session store failed to {attempted}"),
            Kind::Unsupported { attempted, driver } => write!(
                f,
                "the {driver} driver cannot {attempted}; memory, file and redis can (SESSION_DRIVER, or \
                 `driver` in the settings)"
            ),
            Kind::InvalidForm { errors, .. } => write!(f, "the form is not valid: {errors}"),
            Kind::CarriedByCookie => f.write_str(
                "a cookie carries this session, so its token is not handed out; set the layer of \
                 this route up with `sessions.bearer()`",
            ),
        }
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
