//! The keys of records and owners.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hash, Hasher},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

/// Separates owner keys from all other uses of SHA-256.
const OWNER_KEY_DOMAIN: &[u8] = b"cloakroom owner key v1\0";

/// The length of 32 bytes in base64url without padding.
const CHARS: usize = 43;

/// The key under which a store keeps a record: a tag of 16 bits and 240 bits of the token's SHA-256.
/// A copy of the store cannot be used to sign in, because it holds no token (OWASP ASVS 5.0, 11.4.1;
/// CVE-2019-16782).
///
/// The [tag](Self::tag) is drawn with the token and stays when a session is regenerated. So both keys
/// of a [`Rotate`](crate::Commit::Rotate) share it, and a store with shards can choose the shard
/// by the tag and rotate within one shard. The tag is a part of the token that is not hashed, which
/// leaves 240 random bits of the token to guess.
///
/// [`fmt::Display`] writes 43 characters of base64url, which suit a database key. Stores add their
/// own prefix.
///
/// ```
/// use cloakroom_store::RecordKey;
///
/// let key = RecordKey::from_bytes([0; 32]);
/// assert_eq!(key.to_string(), "A".repeat(43));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RecordKey([u8; 32]);

impl RecordKey {
    /// How many bytes the tag has.
    pub const TAG_BYTES: usize = 2;

    /// Makes the key with these bytes. Applications never need it, tests of stores do.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the text that [`fmt::Display`] writes. Returns `None` for any other text.
    ///
    /// ```
    /// # use cloakroom_store::RecordKey;
    /// let key = RecordKey::from_bytes([7; 32]);
    /// assert_eq!(RecordKey::parse(&key.to_string()), Some(key));
    /// assert_eq!(RecordKey::parse("session:7"), None);
    /// ```
    pub fn parse(text: &str) -> Option<Self> {
        decode(text).map(Self)
    }

    /// Returns the 32 bytes, the tag first.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Returns the bytes that all keys of one session share.
    ///
    /// ```
    /// # use cloakroom_store::RecordKey;
    /// assert_eq!(RecordKey::from_bytes([7; 32]).tag(), [7, 7]);
    /// ```
    pub const fn tag(&self) -> [u8; Self::TAG_BYTES] {
        [self.0[0], self.0[1]]
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base64url(&self.0, f)
    }
}

/// Shows four bytes of the hash, which are enough to follow one record through a log.
impl fmt::Debug for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = self.0.last_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        write!(f, "RecordKey({end:08x}…)")
    }
}

/// Hashes a part of the key, because the key is a hash itself.
impl Hash for RecordKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        if let Some(end) = self.0.last_chunk() {
            state.write_u64(u64::from_ne_bytes(*end));
        }
    }
}

/// A map by record key, which uses the key's own hash.
///
/// A visitor cannot choose keys that collide, because a key that a client makes up is never stored.
///
/// ```
/// use cloakroom_store::{KeyMap, RecordKey};
///
/// let mut map = KeyMap::default();
/// map.insert(RecordKey::from_bytes([7; 32]), "values");
/// assert_eq!(map.len(), 1);
/// ```
pub type KeyMap<V> = HashMap<RecordKey, V, BuildHasherDefault<KeyHasher>>;

/// The hasher of a [`KeyMap`].
#[derive(Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(size_of::<u64>()) {
            let mut word = [0; size_of::<u64>()];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_ne_bytes(word));
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 ^= hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// The key by which a store finds the records of an owner: the SHA-256 of the owner's name. It has
/// one length and no characters that need escaping.
///
/// [`fmt::Display`] writes 43 characters of base64url.
///
/// ```
/// use cloakroom_store::OwnerKey;
///
/// assert_eq!(OwnerKey::of("user-42").to_string().len(), 43);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OwnerKey([u8; 32]);

impl OwnerKey {
    /// Makes the key of the owner with this name.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(Sha256::new().chain_update(OWNER_KEY_DOMAIN).chain_update(name).finalize().into())
    }

    /// Makes the key with these bytes, as a store reads it back.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads the text that [`fmt::Display`] writes. Returns `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        decode(text).map(Self)
    }

    /// Returns the 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_base64url(&self.0, f)
    }
}

/// Shows the first four bytes, which are enough to follow one owner through a log.
impl fmt::Debug for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.0.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        write!(f, "OwnerKey({start:08x}…)")
    }
}

/// Writes 32 bytes as base64url, without an allocation.
fn write_base64url(bytes: &[u8; 32], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = [0; CHARS];
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text).map_err(|_| fmt::Error)?;
    f.write_str(std::str::from_utf8(&text[..written]).map_err(|_| fmt::Error)?)
}

/// Reads 43 characters of canonical base64url.
fn decode(text: &str) -> Option<[u8; 32]> {
    if text.len() != CHARS {
        return None;
    }
    let mut bytes = [0; 32];
    let written = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (written == bytes.len()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_has_one_key() {
        assert_eq!(OwnerKey::of("a"), OwnerKey::of("a"));
        assert_ne!(OwnerKey::of("a"), OwnerKey::of("b"));
    }

    #[test]
    fn keys_are_canonical_base64url() {
        let key = OwnerKey::of("a");
        assert_eq!(OwnerKey::parse(&key.to_string()), Some(key));
        let trailing_bit = format!("{}B", "A".repeat(42));
        for bad in ["", "A", &"A".repeat(44), &trailing_bit, &"+".repeat(43), &"=".repeat(43)] {
            assert_eq!(RecordKey::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn debug_shows_a_part_of_a_key() {
        let key = RecordKey::from_bytes(*OwnerKey::of("a").as_bytes());
        assert!(format!("{key:?}").len() < 25);
    }
}
