//! The kinds of [`Error`](crate::Error), and their messages.

use std::{fmt, time::Duration};

use cloakroom_store::StoreError;

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
    /// A key that is refused. Only its beginning is kept, because it can be a visitor's text.
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
    /// A record is sealed by a key of another application, and the caller wants the records of all.
    Locked,
    Unsupported {
        attempted: &'static str,
        driver: &'static str,
    },
    /// No `Users` returns the type of user that a handler asks for.
    NoUsers {
        wanted: &'static str,
    },
    /// A CSRF layer is around the session layer and not inside it.
    Unprotected {
        layer: String,
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

/// The reason why a key is refused.
#[derive(Clone, Copy, Debug)]
pub(crate) enum BadKey {
    Bytes {
        bytes: usize,
        limit: usize,
    },
    Segments {
        segments: usize,
        limit: usize,
    },
    /// Only the library writes the value.
    Reserved,
}

impl BadKey {
    /// Returns the part of a key that an error shows.
    pub(crate) fn beginning(key: &str) -> String {
        key.chars().take(32).flat_map(char::escape_debug).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode { key, expected } => {
                write!(f, "the session value `{key}` is not of the type {expected}")
            }
            Self::Encode { key, .. } => write!(f, "the value for `{key}` cannot be written as JSON"),
            Self::TooDeep { key, limit } => write!(
                f,
                "the value for `{key}` is nested deeper than {limit} levels of lists and objects, those \
                 between the key's dots included"
            ),
            Self::BadKey { begins, problem } => {
                write!(f, "a key has {problem}; the key begins with `{begins}`")
            }
            Self::NotANumber { key, found } => {
                write!(f, "cannot count with the session value `{key}`: it holds {found}")
            }
            Self::NotAnObject { key, found } => {
                write!(f, "cannot put a value below `{key}`: an object is needed there, found {found}")
            }
            Self::Overflow { key } => write!(
                f,
                "counting with the session value `{key}` leaves the range of whole numbers (64 bits)"
            ),
            Self::Committed => f.write_str(
                "the session was changed after its commit; change it before the response is \
                 returned, or call `commit` while the handler still runs",
            ),
            Self::NoInput => f.write_str(
                "there is no form input to flash; take the request's body with the `Input` extractor",
            ),
            Self::TooLarge { size, limit } => write!(
                f,
                "the session takes {size} characters sealed and its cookies hold {limit}; keep \
                 less in it, raise `cookie.max_chunks`, or use a driver with a store"
            ),
            Self::RecordTooLarge { size, limit } => write!(
                f,
                "the session's record would have {size} bytes and may have {limit}; keep less in it \
                 or raise `max_bytes`"
            ),
            Self::Contention { attempts, span } => write!(
                f,
                "other requests kept writing this session: gave up after {span:?}, attempt {attempts}"
            ),
            Self::InsideClosure => f.write_str(
                "a closure of `update` or `edit` changed a session; it may change only its argument",
            ),
            Self::Ended => f.write_str("the session has ended, so the change was not made"),
            Self::Store { attempted, .. } => write!(f, "the session store failed to {attempted}"),
            Self::Locked => f.write_str(
                "a session is sealed by an application key that is not in APP_KEY; set the keys of the \
                 application that wrote it",
            ),
            Self::NoUsers { wanted } => write!(
                f,
                "no `Users` returns a `{wanted}`; pass one to `SessionsBuilder::users`"
            ),
            Self::Unprotected { layer } => write!(
                f,
                "the session layer made {layer} is inside a CSRF layer, which cannot protect its \
                 sessions there; put the CSRF layer inside the session layer"
            ),
            Self::Unsupported { attempted, driver } => write!(
                f,
                "the {driver} driver cannot {attempted}; a driver with a store can (SESSION_DRIVER, or \
                 `driver` in the settings)"
            ),
            Self::InvalidForm { errors, .. } => write!(f, "the form is not valid: {errors}"),
            Self::CarriedByCookie => f.write_str(
                "a cookie carries this session, so its token is not handed out; set the layer of \
                 this route up with `sessions.bearer()`",
            ),
        }
    }
}

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes { bytes, limit } => {
                write!(f, "{bytes} bytes, and at most {limit} bytes are accepted")
            }
            Self::Segments { segments, limit } => write!(
                f,
                "{segments} segments, and at most {limit} segments are accepted; name \
                 text from outside with `Key::literal`"
            ),
            Self::Reserved => {
                f.write_str("the name of a value that only cloakroom writes; choose another name")
            }
        }
    }
}
