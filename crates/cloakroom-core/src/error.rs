//! What a handler sees when something goes wrong.

use std::{error::Error as StdError, fmt, sync::Arc, time::Duration};

use cloakroom_store::StoreError;

/// Why an operation on a session failed.
///
/// The kind is private so that it can grow; ask the question that decides what to do next.
/// Messages name keys and types, never values. Display does not repeat the cause:
/// [`source`](StdError::source) has it.
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
    /// Without serde's own message: it may quote the value, which is nobody's business in a log.
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
    /// A key that crosses a limit. Only its beginning is kept, because it may be a visitor's text.
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
    /// A change that has to be kept to be of use, in a session that has ended.
    Ended,
    Store {
        attempted: &'static str,
        cause: StoreError,
    },
    Unsupported {
        attempted: &'static str,
        driver: &'static str,
    },
    /// Nobody is given the token of a session that a cookie carries.
    CarriedByCookie,
    /// A form that is not valid, and the reply to it.
    InvalidForm {
        errors: String,
        reply: FormReply,
    },
}

/// The reply to a form that is not valid.
#[derive(Debug)]
pub(crate) enum FormReply {
    /// A redirect to this path, whose page shows the errors.
    SeeOther(String),
    /// The errors as JSON.
    Json(String),
}

/// Which limit a key crosses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BadKey {
    Bytes { bytes: usize, limit: usize },
    Segments { segments: usize, limit: usize },
}

impl BadKey {
    /// Returns as much of a key as an error shows.
    pub(crate) fn beginning(key: &str) -> String {
        key.chars().take(32).flat_map(char::escape_debug).collect()
    }
}

impl Error {
    /// One stable word for the kind of failure, for clients and metrics: `bad_key`, `decode`, `encode`,
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

    /// Whether a stored value is not of the type that was asked for.
    pub fn is_decode(&self) -> bool {
        matches!(*self.0, Kind::Decode { .. })
    }

    /// Returns whether a key is longer than 1 KiB or has more than 32 segments.
    pub fn is_bad_key(&self) -> bool {
        matches!(*self.0, Kind::BadKey { .. })
    }

    /// Whether the session was changed after its commit, when the change could no longer be kept.
    pub fn is_committed(&self) -> bool {
        matches!(*self.0, Kind::Committed)
    }

    /// Whether the session no longer fits into the cookies that it is allowed, or its record into
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

    /// Whether it cannot be done at all as sessions are set up: the cookie driver keeps no list of
    /// sessions.
    pub fn is_unsupported(&self) -> bool {
        matches!(*self.0, Kind::Unsupported { .. } | Kind::CarriedByCookie)
    }

    /// Whether other writers of this session came first until the
    /// [deadline](crate::SessionsBuilder::commit_deadline). The same request may succeed when it is
    /// sent again.
    pub fn is_contention(&self) -> bool {
        matches!(*self.0, Kind::Contention { .. })
    }

    /// Returns whether a form was not valid: the error of [`Input::check`](crate::Input::check) and
    /// [`Input::valid`](crate::Input::valid), whose response replies to the visitor.
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

    /// Whether the store could not be reached or did not answer in time, so that trying again
    /// later makes sense.
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

/// The message and its causes: what a log and a failed `unwrap` in a test should show.
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
        let mut said = self.0.to_string();
        f.write_str(&said)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            // Some libraries say in a message what their source says again.
            let message = error.to_string();
            if message != said {
                write!(f, ": {message}")?;
            }
            (cause, said) = (error.source(), message);
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
