//! The form of the session cookie's value. It is checked before a token is looked up or a sealed record
//! is opened.

use crate::{
    cookie::pre_session::PreSessions,
    crypto::{seal::Sealer, token::Token},
};

/// The form of the values that the session driver sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueForm {
    /// A token or a pre-session.
    Token,
    /// A sealed record, in one cookie or in chunks.
    Sealed,
}

impl ValueForm {
    /// Returns whether this application may have set the value of a cookie.
    ///
    /// Other values do not count towards the limit of candidates. Cookies that other applications set
    /// under the same name would otherwise sign the visitor out.
    pub(super) fn accepts(self, value: &[u8]) -> bool {
        match self {
            Self::Token => {
                [Token::CHARS, PreSessions::CHARS].contains(&value.len()) && is_base64url(value)
            }
            Self::Sealed => {
                let sealed = split_count(value).map_or(value, |(_, first)| first);
                Sealer::may_begin(sealed) && is_base64url(sealed)
            }
        }
    }

    /// Returns whether this application may have set the value as the second or a later chunk.
    pub(super) fn accepts_chunk(self, value: &[u8]) -> bool {
        self == Self::Sealed && !value.is_empty() && is_base64url(value)
    }
}

/// Splits the count of chunks and its dot from the first chunk. Returns `None` if no dot follows the
/// first one or two octets.
pub(super) fn split_count(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = value.iter().take(3).position(|byte| *byte == b'.')?;
    Some((&value[..dot], &value[dot + 1..]))
}

/// Returns whether all octets are in the alphabet of base64url (RFC 4648, 5).
fn is_base64url(value: &[u8]) -> bool {
    value.iter().all(|byte| IS_BASE64URL[usize::from(*byte)])
}

/// A lookup table, because the cookie of every request is checked.
const IS_BASE64URL: [bool; 256] = {
    let mut is_base64url = [false; 256];
    let mut byte = 0_u8;
    while byte < u8::MAX {
        is_base64url[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        byte += 1;
    }
    is_base64url
};

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::app_keys::AppKeys;

    #[test]
    fn each_form_accepts_its_own_values_alone() {
        let sealer = Sealer::new(&AppKeys::random(), "session", "session");
        for _ in 0..200 {
            let (token, sealed) = (Token::draw().expose(), sealer.seal(b""));
            assert!(ValueForm::Token.accepts(token.as_bytes()));
            assert!(!ValueForm::Sealed.accepts(token.as_bytes()));
            assert!(ValueForm::Sealed.accepts(sealed.as_bytes()));
            assert!(!ValueForm::Token.accepts(sealed.as_bytes()));
            assert!(ValueForm::Sealed.accepts(format!("16.{sealed}").as_bytes()));
        }
    }
}
