//! The session token, which the client holds, and the record key that is derived from it.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use zeroize::Zeroize;

use cloakroom_store::RecordKey;

use crate::crypto::{
    app_keys::{SubKey, mac},
    random::fill_from_system,
};

/// Separates record keys from other SHA-256 hashes of the token. Domain and token have 52 bytes, so
/// they fit into one block of SHA-256, which takes 55.
const RECORD_KEY_DOMAIN: &[u8] = b"cloakroom record v1\0";
const CORRELATION_DOMAIN: &[u8] = b"cloakroom correlation v1\0";

/// The session token: 32 random bytes (OWASP ASVS 5.0, 7.2.3).
///
/// Stores receive the [record key](Self::record_key) instead, so a thief who reads the store cannot sign
/// in.
/// ```text
/// tag (2 bytes) ‖ seed (16) ‖ rest (14)
/// ```
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token([u8; Token::BYTES]);

impl Token {
    pub(crate) const BYTES: usize = 32;
    /// The length of the [seed](Self::seed).
    pub(crate) const SEED_BYTES: usize = 16;
    const SEED_END: usize = RecordKey::TAG_BYTES + Self::SEED_BYTES;
    /// The length of the token's text: base64url without padding.
    pub(crate) const CHARS: usize = 43;

    /// Draws a new token from the operating system's generator.
    pub(crate) fn draw() -> Self {
        let mut bytes = [0; Self::BYTES];
        fill_from_system(&mut bytes);
        Self(bytes)
    }

    /// Draws the token that replaces this one when its session is regenerated.
    ///
    /// Keeps the tag, because stores keep records with the same tag in the same place. The other 240
    /// bits are new.
    pub(crate) fn successor(&self) -> Self {
        let mut next = Self::draw();
        next.0[..RecordKey::TAG_BYTES].copy_from_slice(&self.0[..RecordKey::TAG_BYTES]);
        next
    }

    /// Draws a token with this seed. An attacker who knows the seed has 128 bits left to guess, and
    /// cannot choose the tag.
    pub(crate) fn with_seed(seed: &[u8; Self::SEED_BYTES]) -> Self {
        let mut token = Self::draw();
        token.0[RecordKey::TAG_BYTES..Self::SEED_END].copy_from_slice(seed);
        token
    }

    /// Draws a token with the same tag and seed.
    pub(crate) fn redrawn(&self) -> Self {
        let mut token = Self::draw();
        token.0[..Self::SEED_END].copy_from_slice(&self.0[..Self::SEED_END]);
        token
    }

    /// Returns the 16 bytes behind the tag, from which the session's CSRF tokens are derived.
    ///
    /// A session that began with a pre-session has its seed, so the CSRF tokens of open pages stay
    /// valid. `regenerate` draws a new seed.
    pub(crate) fn seed(&self) -> &[u8; Self::SEED_BYTES] {
        self.0[RecordKey::TAG_BYTES..].first_chunk().unwrap_or(&[0; Self::SEED_BYTES])
    }

    /// Parses the text of a token: 43 characters of canonical base64url. Returns `None` for any other
    /// text.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        if text.len() != Self::CHARS {
            return None;
        }
        let mut bytes = [0; Self::BYTES];
        let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (written == Self::BYTES).then_some(Self(bytes))
    }

    /// Derives the token of a session from a name: a cookie of another library, or one that the application
    /// gives. The same name gives the same token, so that concurrent requests begin the session once.
    pub(crate) fn derived(key: &SubKey, name: &[u8]) -> Self {
        Self(mac(key, name))
    }

    pub(crate) const fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }

    /// Returns the text of the token, for the client.
    pub(crate) fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// Returns the key of the session's record: a SHA-256 hash of the token, whose first bytes are
    /// replaced by the tag.
    pub(crate) fn record_key(&self) -> RecordKey {
        let mut key = self.hash(RECORD_KEY_DOMAIN);
        key[..RecordKey::TAG_BYTES].copy_from_slice(&self.0[..RecordKey::TAG_BYTES]);
        RecordKey::from_bytes(key)
    }

    /// Returns the correlation id of the session for logs: eight bytes of a hash, in hexadecimal. The
    /// token and the record key cannot be computed from it.
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
    fn a_token_is_parsed_from_its_text() {
        let token = Token::draw();
        assert_eq!(Token::parse(token.expose().as_bytes()), Some(token));
    }

    #[test]
    fn a_successor_shares_the_tag_and_nothing_else() {
        let token = Token::draw();
        let (old, new) = (token.record_key(), token.successor().record_key());
        assert_eq!(old.tag(), new.tag());
        assert_ne!(old.as_bytes()[RecordKey::TAG_BYTES..], new.as_bytes()[RecordKey::TAG_BYTES..]);
        assert_ne!(
            old.as_bytes()[2..],
            token.as_bytes()[2..],
            "a key contains the token behind the tag"
        );
    }

    #[test]
    fn tokens_with_one_seed_differ_in_everything_else() {
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
    fn a_token_has_43_characters_of_canonical_base64url() {
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
            assert!(Token::parse(bad.as_bytes()).is_none(), "{bad:?} was parsed");
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
