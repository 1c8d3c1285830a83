//! The CSRF token of a session.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::crypto::{
    app_keys::{KeyId, SubKey},
    random::fill_from_system,
    token::Token,
};

const BYTES: usize = 32;

/// One key per application key, newest first.
pub(crate) struct CsrfKeys(Vec<SubKey>);

impl CsrfKeys {
    pub(crate) fn new(keys: Vec<(KeyId, SubKey)>) -> Self {
        Self(keys.into_iter().map(|(_, key)| key).collect())
    }

    /// The session's token under a new mask: base64url of mask ‖ mask XOR HMAC-SHA256(key, seed),
    /// where the seed is a part of the session's token.
    pub(crate) fn issue(&self, session: &Token) -> String {
        let mut shown = [0; 2 * BYTES];
        let (mask, masked) = shown.split_at_mut(BYTES);
        fill_from_system(mask);
        for ((masked, mask), mac) in masked.iter_mut().zip(mask).zip(mac(&self.0[0], session)) {
            *masked = *mask ^ mac;
        }
        URL_SAFE_NO_PAD.encode(shown)
    }

    /// Whether `submitted` is the session's, in time that does not depend on where it differs.
    pub(crate) fn verify(&self, session: &Token, submitted: &str) -> bool {
        let mut shown = [0; 2 * BYTES];
        if !matches!(URL_SAFE_NO_PAD.decode_slice(submitted, &mut shown), Ok(length) if length == shown.len())
        {
            return false;
        }
        let (mask, masked) = shown.split_at(BYTES);
        let unmasked: Vec<u8> =
            mask.iter().zip(masked).map(|(mask, masked)| mask ^ masked).collect();
        self.0.iter().any(|key| mac(key, session)[..].ct_eq(&unmasked).into())
    }
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
fn mac(key: &SubKey, session: &Token) -> [u8; BYTES] {
    let mac = Hmac::<Sha256>::new_from_slice(&**key).expect("a key of 32 bytes");
    mac.chain_update(session.seed()).finalize().into_bytes().into()
}

/// Shows nothing of the keys.
impl fmt::Debug for CsrfKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CsrfKeys({} keys)", self.0.len())
    }
}
