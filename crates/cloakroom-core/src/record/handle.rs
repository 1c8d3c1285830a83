//! The public name of a session.

use std::{error, fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use cloakroom_store::{OwnerKey, RecordKey};

use crate::record::owner::{Owner, SessionId};

/// The first letter of a handle that names a session of an owner.
const OWNED: char = 'o';
/// The first letter of a handle that names a session by its record key.
const STORED: char = 'k';

/// Names a session from outside of its requests: in a job queue, in the list of an owner's sessions,
/// on the command line.
///
/// [`Session::handle`](crate::Session::handle) returns it, and [`SessionInfo`](crate::SessionInfo)
/// has it. [`Sessions::edit`](crate::Sessions::edit), [`SessionAdmin`](crate::SessionAdmin) and
/// [`OwnerSessions`](crate::OwnerSessions) take it.
///
/// The handle of a session with an owner stays the same as long as the session has this owner. Any
/// other handle names its session until the session is regenerated or gets an owner.
///
/// # Text
/// [`Display`](fmt::Display) writes a letter and base64url, and [`FromStr`] reads this text and no
/// other. It is also the serialized form:
///
/// | session | text |
/// |---|---|
/// | with an owner | `o` and 64 characters |
/// | without | `k` and 43 characters |
///
/// A handle never begins with `-`, so a command takes it as an argument. The characters that tell
/// the sessions of one owner apart come first, so a few of them show which session is meant.
///
/// # Security
/// A handle is not a token and cannot be used to sign in, so a page may show it.
/// [`SessionAdmin`](crate::SessionAdmin) ends any session by its handle. Pass handles that come from
/// a browser to [`OwnerSessions`](crate::OwnerSessions), which only ends sessions of the visitor.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::SessionHandle;
///
/// let text = format!("k{}", "A".repeat(43));
/// let handle: SessionHandle = text.parse()?;
/// assert_eq!(handle.to_string(), text);
/// assert_eq!(serde_json::to_value(handle)?, text);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionHandle(Target);

/// The session that a handle names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Target {
    /// A session of an owner, whatever its token is.
    Owned { id: SessionId, owner: OwnerKey },
    /// The session that is stored under this key.
    Stored(RecordKey),
}

impl SessionHandle {
    /// Names the session of `owner`.
    pub(crate) fn of_owned(owner: &Owner) -> Self {
        Self(Target::Owned { id: owner.id, owner: owner.key() })
    }

    /// Names the session under `key`.
    pub(crate) fn of_stored(key: RecordKey) -> Self {
        Self(Target::Stored(key))
    }

    pub(crate) fn target(self) -> Target {
        self.0
    }
}

impl fmt::Display for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Target::Owned { id, owner } => {
                let bytes = [&id.as_bytes()[..], owner.as_bytes()].concat();
                write!(f, "{OWNED}{}", URL_SAFE_NO_PAD.encode(bytes))
            }
            Target::Stored(key) => write!(f, "{STORED}{key}"),
        }
    }
}

impl FromStr for SessionHandle {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, HandleError> {
        let owned = |text: &str| {
            let bytes: [u8; 48] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
            let (id, owner) = bytes.split_first_chunk()?;
            let owner = OwnerKey::from_bytes(owner.try_into().ok()?);
            Some(Target::Owned { id: SessionId::from_bytes(*id), owner })
        };
        let target = match (text.strip_prefix(OWNED), text.strip_prefix(STORED)) {
            (Some(text), _) => owned(text),
            (_, Some(text)) => RecordKey::parse(text).map(Target::Stored),
            (None, None) => None,
        };
        target.map(Self).ok_or(HandleError(()))
    }
}

/// Shows the beginning, which tells sessions apart in a log.
impl fmt::Debug for SessionHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionHandle({:.9}…)", self.to_string())
    }
}

impl Serialize for SessionHandle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SessionHandle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

/// The error of a text that is not a [`SessionHandle`]. The message says what is accepted, and does not
/// quote the text.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// # use cloakroom::SessionHandle;
/// let error = "user-42".parse::<SessionHandle>().unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "not a session handle: `o` and 64 characters of base64url, or `k` and 43, are accepted"
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandleError(());

impl fmt::Display for HandleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "not a session handle: `{OWNED}` and 64 characters of base64url, or `{STORED}` and 43, \
             are accepted"
        )
    }
}

impl error::Error for HandleError {}

#[cfg(test)]
mod tests {
    use cloakroom_store::clock::Timestamp;

    use super::*;

    fn owned() -> SessionHandle {
        SessionHandle::of_owned(&Owner::new("user-42", Timestamp::from_millis(0), [7, 8]))
    }

    #[test]
    fn a_handle_survives_its_text_and_nothing_else_is_one() {
        for (handle, length) in
            [(owned(), 65), (SessionHandle::of_stored(RecordKey::from_bytes([0xfb; 32])), 44)]
        {
            let text = handle.to_string();
            assert_eq!(text.len(), length);
            assert_eq!(text.parse(), Ok(handle));
            let json = serde_json::to_string(&handle).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<SessionHandle>(&json).unwrap(), handle);
            let malformed = [
                String::new(),
                "o".to_owned(),
                "é".to_owned(),
                text[1..].to_owned(),
                text[..text.len() - 1].to_owned(),
                format!("{text}A"),
                format!("-{text}"),
                format!(" {text}"),
                text.to_uppercase(),
                format!("{}{}", if text.starts_with(OWNED) { STORED } else { OWNED }, &text[1..]),
            ];
            for text in malformed {
                assert_eq!(text.parse::<SessionHandle>(), Err(HandleError(())), "{text}");
            }
        }
    }

    #[test]
    fn a_few_characters_tell_the_sessions_of_an_owner_apart() {
        let mut names: Vec<_> = (0..u8::MAX)
            .map(|tag| Owner::new("user-42", Timestamp::from_millis(0), [tag, tag]))
            .map(|owner| SessionHandle::of_owned(&owner).to_string()[..4].to_owned())
            .collect();
        names.dedup();
        assert_eq!(names.len(), 255);
    }

    #[test]
    fn debug_shows_the_beginning() {
        let handle = owned();
        let shown = format!("{handle:?}");
        assert_eq!(shown, format!("SessionHandle({}…)", &handle.to_string()[..9]));
    }
}
