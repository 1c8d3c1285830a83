//! Sealing: authenticated encryption of data that the client keeps in a cookie.
//!
//! # Wire format, version 1
//! base64url without padding (RFC 4648, 5) of
//! ```text
//! version (1 byte, 1) ‖ key id (4) ‖ nonce (24) ‖ ciphertext ‖ tag (16)
//! ```
//! - Cipher: XAES-256-GCM (C2SP; OWASP ASVS 5.0, 11.3.2 and 11.3.3). The nonce has 24 random bytes,
//!   which is safe for some 2^80 messages under one key.
//! - Key: HKDF-SHA256 of the application key, no salt, info `cloakroom v1 seal`.
//! - Key id: the first four bytes of the same derivation with info `cloakroom v1 key id`. It selects
//!   the only key that is tried.
//! - Associated data: version ‖ key id ‖ purpose ‖ 0x00 ‖ cookie name. It binds sealed text to its
//!   purpose and its cookie.
//!
//! There is one decoder and no fallback: text that does not open has the same effect as no cookie.
//! The plaintext is not compressed, because the length of compressed text depends on its contents.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use xaes_256_gcm::{
    Nonce, Tag, Xaes256Gcm,
    aead::{AeadInOut, KeyInit},
};

use crate::crypto::{
    app_keys::{AppKeys, KeyId, SubKey},
    random::fill_from_system,
};

const VERSION: u8 = 1;
// Lengths in bytes.
const KEY_ID: usize = size_of::<KeyId>();
const NONCE: usize = 24;
const TAG: usize = 16;
const HEADER: usize = 1 + KEY_ID + NONCE;
/// The length of the shortest sealed text, which has an empty plaintext.
const MIN_CHARS: usize = Sealer::chars(0);

/// Seals and opens text for one purpose and one cookie.
pub(crate) struct Sealer {
    /// Newest first, never empty.
    keys: Vec<SealingKey>,
}

struct SealingKey {
    id: KeyId,
    cipher: Xaes256Gcm,
    associated_data: Vec<u8>,
}

/// The contents of a sealed text.
pub(crate) struct Unsealed {
    /// Version, key id and nonce, followed by the plaintext.
    bytes: Vec<u8>,
    /// Whether an older key than the newest sealed the text.
    pub(crate) stale_key: bool,
}

impl Sealer {
    pub(crate) fn new(keys: &AppKeys, purpose: &str, cookie: &str) -> Self {
        let sealing = |(id, key): (KeyId, SubKey)| SealingKey {
            id,
            cipher: Xaes256Gcm::new(&(*key).into()),
            associated_data: associated_data(id, purpose, cookie),
        };
        Self { keys: keys.derive_all("seal").into_iter().map(sealing).collect() }
    }

    /// Seals `plaintext` with the newest key.
    ///
    /// Draws the nonce from the operating system on each call (OWASP ASVS 5.0, 11.3.4). Buffered nonces
    /// would save less than a microsecond, and a snapshot of the machine that is restored twice would
    /// use them twice. Two texts with one nonce reveal the XOR of their plaintexts and allow forgeries.
    pub(crate) fn seal(&self, plaintext: &[u8]) -> String {
        let mut nonce = [0; NONCE];
        fill_from_system(&mut nonce);
        self.seal_with(nonce, plaintext)
    }

    #[expect(clippy::expect_used, reason = "GCM takes 64 GiB; a record is far below")]
    fn seal_with(&self, nonce: [u8; NONCE], plaintext: &[u8]) -> String {
        let key = &self.keys[0];
        let mut sealed = Vec::with_capacity(HEADER + plaintext.len() + TAG);
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let body = &mut sealed[HEADER..];
        let tag = key
            .cipher
            .encrypt_inout_detached(&Nonce::from(nonce), &key.associated_data, body.into())
            .expect("the plaintext is shorter than 64 GiB");
        sealed.extend_from_slice(&tag);
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// Returns the length in characters of the sealed text of `plaintext` bytes.
    pub(crate) const fn chars(plaintext: usize) -> usize {
        (8 * (HEADER + plaintext + TAG)).div_ceil(6)
    }

    /// Returns whether `text` begins with the version and is long enough for a sealed text. It may be the
    /// first chunk of one.
    pub(crate) fn may_begin(text: &[u8]) -> bool {
        // The version's eight bits are the first base64 digit and two bits of the second one.
        text.len() >= MIN_CHARS && text[0] == b'A' && matches!(text[1], b'Q'..=b'Z' | b'a'..=b'f')
    }

    /// Opens `text`. Returns `None` unless one of the keys sealed it for this purpose and this cookie.
    pub(crate) fn open(&self, text: &[u8]) -> Option<Unsealed> {
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        if sealed.len() < HEADER + TAG || sealed[0] != VERSION {
            return None;
        }
        let index = self.keys.iter().position(|key| key.id[..] == sealed[1..=KEY_ID])?;
        let key = &self.keys[index];
        let nonce: [u8; NONCE] = sealed[1 + KEY_ID..HEADER].try_into().ok()?;
        let tag: [u8; TAG] = sealed[sealed.len() - TAG..].try_into().ok()?;
        sealed.truncate(sealed.len() - TAG);
        let body = &mut sealed[HEADER..];
        key.cipher
            .decrypt_inout_detached(
                &Nonce::from(nonce),
                &key.associated_data,
                body.into(),
                &Tag::from(tag),
            )
            .ok()?;
        Some(Unsealed { bytes: sealed, stale_key: index > 0 })
    }
}

impl Unsealed {
    pub(crate) fn plaintext(&self) -> &[u8] {
        &self.bytes[HEADER..]
    }
}

fn associated_data(id: KeyId, purpose: &str, cookie: &str) -> Vec<u8> {
    [&[VERSION], &id[..], purpose.as_bytes(), &[0], cookie.as_bytes()].concat()
}

/// Shows the number of keys, because their bytes are secret.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests;
