//! The form of the session cookie's value, checked before anything is looked up or decrypted.

use crate::{
    cookie::pre_session::PreSessions,
    crypto::{seal::Sealer, token::Token},
};

/// The form of the values that a driver puts into the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueForm {
    /// A token, or a pre-session.
    Token,
    /// A sealed record, perhaps split over chunks.
    Sealed,
}

impl ValueForm {
    /// Returns whether the value of a cookie may be ours. Only such values count towards the
    /// [limit](super::chunks::MAX_CANDIDATES), so that junk does not sign anyone out.
    pub(super) fn admits(self, value: &[u8]) -> bool {
        match self {
            Self::Token => {
                [Token::CHARS, PreSessions::CHARS].contains(&value.len()) && is_base64url(value)
            }
            Self::Sealed => {
                let sealed = super::chunks::without_count(value);
                Sealer::may_begin(sealed) && is_base64url(sealed)
            }
        }
    }

    /// Returns whether the value of a cookie may be a chunk of ours, from the second on.
    pub(super) fn admits_chunk(self, value: &[u8]) -> bool {
        self == Self::Sealed && !value.is_empty() && is_base64url(value)
    }
}

/// Returns whether all octets are of the alphabet of base64url (RFC 4648, 5).
fn is_base64url(value: &[u8]) -> bool {
    value.iter().all(|byte| IS_BASE64URL[usize::from(*byte)])
}

/// A table, because every request's cookie is checked.
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
    fn what_was_issued_is_admitted_and_the_other_form_is_not() {
        let sealer = Sealer::new(&AppKeys::random(), "session", "session");
        for _ in 0..200 {
            let (token, sealed) = (Token::draw().expose(), sealer.seal(b""));
            assert!(ValueForm::Token.admits(token.as_bytes()));
            assert!(!ValueForm::Sealed.admits(token.as_bytes()));
            assert!(ValueForm::Sealed.admits(sealed.as_bytes()));
            assert!(!ValueForm::Token.admits(sealed.as_bytes()));
            assert!(ValueForm::Sealed.admits(format!("16.{sealed}").as_bytes()));
        }
    }
}
