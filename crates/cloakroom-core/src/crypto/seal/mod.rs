//! Sealing: authenticated encryption of data that the client keeps in a cookie, and of records in a store.
//!
//! # Wire format, version 1
//! ```text
//! version (1 byte, 1) ‖ key id (4) ‖ nonce (24) ‖ ciphertext ‖ tag (16)
//! ```
//! In a cookie in base64url without padding (RFC 4648, 5).
//! - Cipher: XAES-256-GCM (C2SP; OWASP ASVS 5.0, 11.3.2 and 11.3.3). The nonce has 24 random bytes,
//!   which is safe for some 2^80 messages under one key.
//! - Key: HKDF-SHA256 of the application key, no salt, info `cloakroom v1 seal`.
//! - Key id: the first four bytes of the same derivation with info `cloakroom v1 key id`. It selects
//!   the only key that is tried.
//! - Associated data: version ‖ key id ‖ purpose ‖ 0x00 ‖ place. It binds sealed data to its purpose and its
//!   place. The place is the name of the cookie, or for records the 32 bytes of the record key.
//!
//! There is one decoder and no fallback: text that does not open has the same effect as no cookie.
//! The plaintext is not compressed, because the length of compressed text depends on its contents.

use std::{borrow::Cow, fmt};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
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

/// Seals and opens data for one purpose and one place.
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
    /// Makes a sealer. `place` is the name of the cookie. It is empty if each call names the rest of the
    /// place.
    pub(crate) fn new(keys: &AppKeys, purpose: &str, place: &str) -> Self {
        let sealing = |(id, key): (KeyId, SubKey)| SealingKey {
            id,
            cipher: Xaes256Gcm::new(&(*key).into()),
            associated_data: associated_data(id, purpose, place),
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
        URL_SAFE_NO_PAD.encode(self.seal_with(nonce, plaintext, &[]))
    }

    /// Seals `plaintext` as bytes, for a place that ends with `place`. Draws a nonce as
    /// [`seal`](Self::seal).
    pub(crate) fn seal_bytes(&self, plaintext: &[u8], place: &[u8]) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        fill_from_system(&mut nonce);
        self.seal_with(nonce, plaintext, place)
    }

    #[expect(clippy::expect_used, reason = "GCM takes 64 GiB; a record is far below")]
    pub(crate) fn seal_with(&self, nonce: [u8; NONCE], plaintext: &[u8], place: &[u8]) -> Vec<u8> {
        let key = &self.keys[0];
        let mut sealed = Vec::with_capacity(HEADER + plaintext.len() + TAG);
        sealed.push(VERSION);
        sealed.extend_from_slice(&key.id);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let body = &mut sealed[HEADER..];
        let tag = key
            .cipher
            .encrypt_inout_detached(&Nonce::from(nonce), &key.bound_to(place), body.into())
            .expect("the plaintext is shorter than 64 GiB");
        sealed.extend_from_slice(&tag);
        sealed
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
        self.open_bytes(URL_SAFE_NO_PAD.decode(text).ok()?, &[])
    }

    /// Returns whether `bytes` begin with the version and are long enough for sealed data.
    pub(crate) fn may_be_sealed(bytes: &[u8]) -> bool {
        bytes.len() >= HEADER + TAG && bytes[0] == VERSION
    }

    /// Returns the index of the key that sealed `bytes`, by its id.
    fn key_of(&self, bytes: &[u8]) -> Option<usize> {
        let is_sealed = Self::may_be_sealed(bytes);
        let position = || self.keys.iter().position(|key| key.id[..] == bytes[1..=KEY_ID]);
        is_sealed.then(position).flatten()
    }

    /// Returns whether one of the keys may have sealed `bytes`.
    pub(crate) fn has_key_of(&self, bytes: &[u8]) -> bool {
        self.key_of(bytes).is_some()
    }

    /// Opens bytes that were sealed for a place that ends with `place`.
    pub(crate) fn open_bytes(&self, mut sealed: Vec<u8>, place: &[u8]) -> Option<Unsealed> {
        let index = self.key_of(&sealed)?;
        let key = &self.keys[index];
        let nonce: [u8; NONCE] = sealed[1 + KEY_ID..HEADER].try_into().ok()?;
        let tag: [u8; TAG] = sealed[sealed.len() - TAG..].try_into().ok()?;
        sealed.truncate(sealed.len() - TAG);
        let body = &mut sealed[HEADER..];
        key.cipher
            .decrypt_inout_detached(
                &Nonce::from(nonce),
                &key.bound_to(place),
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

    /// Returns the plaintext without a copy.
    pub(crate) fn into_plaintext(self) -> Bytes {
        Bytes::from(self.bytes).slice(HEADER..)
    }
}

impl SealingKey {
    /// Returns the associated data for a place that ends with `place`.
    fn bound_to(&self, place: &[u8]) -> Cow<'_, [u8]> {
        if place.is_empty() {
            return Cow::Borrowed(&self.associated_data);
        }
        Cow::Owned([&self.associated_data, place].concat())
    }
}

fn associated_data(id: KeyId, purpose: &str, place: &str) -> Vec<u8> {
    [&[VERSION], &id[..], purpose.as_bytes(), &[0], place.as_bytes()].concat()
}

/// Shows the number of keys, because their bytes are secret.
impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealer({} keys)", self.keys.len())
    }
}

#[cfg(test)]
mod tests;
