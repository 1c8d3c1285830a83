//! CSRF tokens, which are derived from the session's token (OWASP ASVS 5.0, 3.5.1).

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;

use crate::crypto::{
    app_keys::{KeyId, SubKey, mac},
    random::fill_from_system,
    token::Token,
};

const BYTES: usize = 32;

/// The CSRF key of each application key, newest first. Never empty.
pub(crate) struct CsrfKeys(Vec<SubKey>);

impl CsrfKeys {
    pub(crate) fn new(keys: Vec<(KeyId, SubKey)>) -> Self {
        Self(keys.into_iter().map(|(_, key)| key).collect())
    }

    /// Issues a CSRF token: base64url of mask ‖ (mask XOR HMAC-SHA256(key, seed)). The seed is
    /// [`Token::seed`].
    ///
    /// Draws a new mask for each call, because a secret that repeats in compressed pages can be guessed
    /// from their length (BREACH).
    pub(crate) fn issue(&self, session: &Token) -> String {
        let mut token = [0; 2 * BYTES];
        let (mask, masked) = token.split_at_mut(BYTES);
        fill_from_system(mask);
        for ((masked, mask), mac) in
            masked.iter_mut().zip(mask).zip(mac(&self.0[0], session.seed()))
        {
            *masked = *mask ^ mac;
        }
        URL_SAFE_NO_PAD.encode(token)
    }

    /// Returns whether `submitted` is a CSRF token of this session under any of the keys. Compares in
    /// constant time.
    pub(crate) fn verify(&self, session: &Token, submitted: &str) -> bool {
        let mut token = [0; 2 * BYTES];
        let decoded = URL_SAFE_NO_PAD.decode_slice(submitted, &mut token);
        if decoded != Ok(token.len()) {
            return false;
        }
        let (mask, masked) = token.split_at(BYTES);
        let unmasked: Vec<u8> =
            mask.iter().zip(masked).map(|(mask, masked)| mask ^ masked).collect();
        self.0.iter().any(|key| mac(key, session.seed())[..].ct_eq(&unmasked).into())
    }
}

/// Shows the number of keys, because their bytes are secret.
impl fmt::Debug for CsrfKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CsrfKeys({} keys)", self.0.len())
    }
}
