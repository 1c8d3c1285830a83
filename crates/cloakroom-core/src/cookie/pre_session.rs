//! Pre-sessions: cookies for visitors who have seen a CSRF token and have no session yet.
//!
//! A pre-session keeps the CSRF tokens of an open form valid without a record in the store.
//!
//! # Plaintext, version 1
//! ```text
//! seed of a token (16 bytes) ‖ deadline (8)
//! ```
//! The deadline is in milliseconds since the Unix epoch, big-endian. The plaintext is
//! [sealed](crate::crypto::seal) for the purpose `pre-session` and the cookie's name, so other hosts
//! cannot forge one. The sealed text is longer than a token.
//!
//! # Security
//! A pre-session never becomes a session. The first change draws a token with the same
//! [seed](Token::seed), and the rest of that token is new. An attacker who planted or copied the
//! pre-session knows the seed only. Two requests with one pre-session begin two sessions, because a rule
//! that leads both into one session would also lead the attacker there.

use crate::crypto::{app_keys::AppKeys, seal::Sealer, token::Token};
use cloakroom_store::clock::Timestamp;

const SEALED: usize = Token::SEED_BYTES + size_of::<u64>();

/// Issues and opens pre-sessions for one cookie.
#[derive(Debug)]
pub(crate) struct PreSessions(Sealer);

impl PreSessions {
    /// The length of the sealed text.
    pub(crate) const CHARS: usize = Sealer::chars(SEALED);

    pub(crate) fn new(keys: &AppKeys, cookie: &str) -> Self {
        Self(Sealer::new(keys, "pre-session", cookie))
    }

    /// Returns the value of a cookie that keeps the CSRF tokens of `token` valid until `expires`.
    pub(crate) fn issue(&self, token: &Token, expires: Timestamp) -> String {
        let mut plaintext = [0; SEALED];
        let (seed, deadline) = plaintext.split_at_mut(Token::SEED_BYTES);
        seed.copy_from_slice(token.seed());
        deadline.copy_from_slice(&expires.as_millis().to_be_bytes());
        self.0.seal(&plaintext)
    }

    /// Opens a pre-session that has not expired. Returns a new token with its seed, and its deadline.
    pub(crate) fn open(&self, value: &[u8], now: Timestamp) -> Option<(Token, Timestamp)> {
        if value.len() != Self::CHARS {
            return None;
        }
        let opened = self.0.open(value)?;
        let (seed, deadline) = opened.plaintext().split_first_chunk()?;
        let expires = Timestamp::from_millis(u64::from_be_bytes(deadline.try_into().ok()?));
        (now < expires).then(|| (Token::with_seed(seed), expires))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_millis(1_000);
    const LATER: Timestamp = Timestamp::from_millis(2_000);

    #[test]
    fn a_pre_session_keeps_the_seed_and_not_the_token() {
        let pre_sessions = PreSessions::new(&AppKeys::random(), "session");
        let token = Token::draw();
        let value = pre_sessions.issue(&token, LATER);
        assert_eq!(value.len(), PreSessions::CHARS);
        let [one, other] = [(); 2].map(|()| pre_sessions.open(value.as_bytes(), NOW).unwrap());
        assert_eq!((one.0.seed(), one.1), (token.seed(), LATER));
        assert!(one.0 != token && one.0 != other.0, "each request draws a new token");
    }

    #[test]
    fn a_pre_session_opens_for_its_key_and_cookie_until_its_deadline() {
        let keys = AppKeys::random();
        let pre_sessions = PreSessions::new(&keys, "session");
        let value = pre_sessions.issue(&Token::draw(), LATER);
        assert!(pre_sessions.open(value.as_bytes(), LATER).is_none(), "at the deadline");
        let other_key = PreSessions::new(&AppKeys::random(), "session");
        let other_cookie = PreSessions::new(&keys, "other");
        let other_purpose = PreSessions(Sealer::new(&keys, "session", "session"));
        for other in [other_key, other_cookie, other_purpose] {
            assert!(other.open(value.as_bytes(), NOW).is_none());
        }
        for index in 0..value.len() {
            let mut forged = value.clone().into_bytes();
            forged[index] = if forged[index] == b'A' { b'B' } else { b'A' };
            assert!(pre_sessions.open(&forged, NOW).is_none(), "character {index}");
        }
        assert!(pre_sessions.open(Token::draw().expose().as_bytes(), NOW).is_none());
    }
}
