//! The client's half of a session, and what a store files it under.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use cloakroom_store::RecordKey;

use crate::crypto::random::fill_from_system;

/// Separates record keys from every other SHA-256 in the world. With the token it fits into one block
/// of SHA-256, which has room for 55 bytes.
const RECORD_KEY_DOMAIN: &[u8] = b"cloakroom record v1\0";
const CORRELATION_DOMAIN: &[u8] = b"cloakroom correlation v1\0";

/// 32 random bytes that only the client holds. Never stored, never printed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token([u8; Token::BYTES]);

impl Token {
    pub(crate) const BYTES: usize = 32;
    /// How many bytes the [seed](Self::seed) has.
    pub(crate) const SEED_BYTES: usize = 16;
    /// Where the seed ends, which begins behind the tag.
    const SEED_END: usize = RecordKey::TAG_BYTES + Self::SEED_BYTES;
    /// Length of the base64url text in the cookie, which has no padding.
    pub(crate) const CHARS: usize = 43;

    /// Draws a new token from the operating system's generator.
    pub(crate) fn draw() -> Self {
        let mut bytes = [0; Self::BYTES];
        fill_from_system(&mut bytes);
        Self(bytes)
    }

    /// Draws the token that follows this one when its session is regenerated. The tag stays, so that
    /// both record keys are kept in one place; 240 bits are new.
    pub(crate) fn successor(&self) -> Self {
        let mut next = Self::draw();
        next.0[..RecordKey::TAG_BYTES].copy_from_slice(&self.0[..RecordKey::TAG_BYTES]);
        next
    }

    /// Draws a token with this seed. Whoever knows the seed has 128 bits left to guess, and does not
    /// choose the tag.
    pub(crate) fn with_seed(seed: &[u8; Self::SEED_BYTES]) -> Self {
        let mut token = Self::draw();
        token.0[RecordKey::TAG_BYTES..Self::SEED_END].copy_from_slice(seed);
        token
    }

    /// Draws another token with the tag and the seed of this one.
    pub(crate) fn redrawn(&self) -> Self {
        let mut token = Self::draw();
        token.0[..Self::SEED_END].copy_from_slice(&self.0[..Self::SEED_END]);
        token
    }

    /// Returns the part of the token that its CSRF tokens are derived from: 16 bytes behind the tag. A
    /// session has the seed of the pre-session that it began with, and `regenerate` draws a new one.
    pub(crate) fn seed(&self) -> &[u8; Self::SEED_BYTES] {
        self.0[RecordKey::TAG_BYTES..].first_chunk().unwrap_or(&[0; Self::SEED_BYTES])
    }

    /// Reads a cookie's value; anything but 43 characters of canonical base64url is no token.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != Self::CHARS {
            return None;
        }
        let mut bytes = [0; Self::BYTES];
        let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (written == Self::BYTES).then_some(Self(bytes))
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// The text that goes into the cookie.
    pub(crate) fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    pub(crate) fn record_key(&self) -> RecordKey {
        let mut key = self.hash(RECORD_KEY_DOMAIN);
        key[..RecordKey::TAG_BYTES].copy_from_slice(&self.0[..RecordKey::TAG_BYTES]);
        RecordKey::from_bytes(key)
    }

    /// Eight bytes in hexadecimal that tell sessions apart in logs and say nothing else.
    pub(crate) fn correlation(&self) -> String {
        let hash = self.hash(CORRELATION_DOMAIN);
        let start = hash.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        format!("{start:016x}")
    }

    fn hash(&self, domain: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(domain).chain_update(self.0).finalize().into()
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_cookie_text() {
        let token = Token::draw();
        assert_eq!(Token::parse(token.expose().as_bytes()), Some(token));
    }

    #[test]
    fn a_successor_shares_the_tag_and_nothing_else() {
        let token = Token::draw();
        let (old, new) = (token.record_key(), token.successor().record_key());
        assert_eq!(old.tag(), new.tag());
        assert_ne!(old.as_bytes()[RecordKey::TAG_BYTES..], new.as_bytes()[RecordKey::TAG_BYTES..]);
        assert_ne!(old.as_bytes()[2..], token.as_bytes()[2..], "a key shows more than the tag");
    }

    #[test]
    fn a_token_of_a_seed_shares_it_and_no_more() {
        let token = Token::draw();
        let other = Token::with_seed(token.seed());
        assert_eq!(other.seed(), token.seed());
        assert_ne!(other.as_bytes()[18..], token.as_bytes()[18..]);
        assert_ne!(other.record_key(), token.record_key());
        assert_ne!(token.successor().seed(), token.seed());
        let tag = token.record_key().tag();
        let others = || Token::with_seed(token.seed()).record_key().tag();
        assert!((0..4).any(|_| others() != tag), "the seed does not choose the tag");
    }

    #[test]
    fn a_redrawn_token_shares_tag_and_seed_and_no_more() {
        let token = Token::draw();
        let other = token.redrawn();
        assert_eq!(other.as_bytes()[..18], token.as_bytes()[..18]);
        assert_ne!(other.as_bytes()[18..], token.as_bytes()[18..]);
    }

    #[test]
    fn only_43_characters_of_canonical_base64url_are_a_token() {
        let good = "A".repeat(43);
        assert!(Token::parse(good.as_bytes()).is_some());
        // The last character carries two unused bits; "B" sets one of them.
        let trailing_bit = format!("{}B", "A".repeat(42));
        for bad in [
            "",
            "A",
            &"A".repeat(42),
            &"A".repeat(44),
            &trailing_bit,
            &"+".repeat(43),
            &"=".repeat(43),
        ] {
            assert!(Token::parse(bad.as_bytes()).is_none(), "{bad:?} was taken for a token");
        }
    }

    #[test]
    fn debug_shows_neither_token_nor_whole_key() {
        let token = Token::draw();
        assert_eq!(format!("{token:?}"), "Token(…)");
        let key = token.record_key();
        assert!(format!("{key:?}").len() < 25);
        assert!(!key.to_string().contains(&token.expose()));
    }
}
