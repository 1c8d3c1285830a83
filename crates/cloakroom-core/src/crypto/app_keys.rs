//! The application key, from which every other key is derived.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::crypto::random::fill_from_system;

/// The length of the shortest accepted key in bytes: 256 bits, twice the 128 bits of security that
/// OWASP ASVS 5.0, 11.2.3 requires.
const MIN_BYTES: usize = 32;
const PREFIX: &str = "base64:";
/// SHA-256 hashes, in base64, of published sample keys. They are refused because developers copy them
/// into production.
const PUBLISHED: [&str; 4] = [
    // Laravel's documentation, "Encryption": `APP_KEY` and `APP_PREVIOUS_KEYS`.
    "PiuDNbJQqampGwkN+OWWNgTXcUXKLfo1stf9w71MmJM=",
    "yGt217ab2PWzf30j5uc3FdVzeIhvXX4NYdJ9lE/Ek2E=",
    // The tests of many Laravel packages.
    "iZcy9b2OxstMAjkXLBTljiGsGROcQV+FK/K8b0SMrgo=",
    // The golden vector of sealed cookies in `tests/golden`.
    "maem/pcI5serYCuIohSX8MqQBFVLwJ7CbG5l+cgNEVw=",
];
/// The end of every error message: two commands that generate a key.
const HOW_TO_GENERATE: &str =
    "make one with: cloakroom key generate, or: echo \"base64:$(openssl rand -base64 32)\"";

/// Standard base64 (RFC 4648, 4) with optional padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The application's keys. The first key seals new data, and each key opens the data that it sealed.
///
/// [`parse`](Self::parse) reads them from the text of the environment variable `APP_KEY`. A key is
/// `base64:` followed by the base64 of at least 32 random bytes. Commas separate several keys.
/// Use [`random`](Self::random) in tests.
///
/// To rotate the key, put a new one before the old one. Remove the old key when the last session that
/// it sealed has expired. Sealed data contains the id of its key, so it opens whatever position the key
/// has in the list.
///
/// # Security
/// Anyone who has the key can forge sealed sessions and CSRF tokens. `AppKeys` refuses short, repetitive
/// and published keys (OWASP ASVS 5.0, 11.2.3). It wipes the keys from memory on drop, and its `Debug`
/// output shows their number only.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::AppKeys;
///
/// let new = AppKeys::generate();
/// let old = AppKeys::generate();
/// let keys = AppKeys::parse(&format!("{new},{old}"))?;
/// assert_eq!(keys.len(), 2);
/// assert!(AppKeys::parse("correct horse battery staple").is_err());
/// # Ok::<(), cloakroom::KeyError>(())
/// ```
#[derive(Clone)]
pub struct AppKeys(Vec<Key>);

/// One application key. Other keys are derived from it, and it is used for nothing else.
#[derive(Clone)]
struct Key {
    id: KeyId,
    derived_from: Zeroizing<Vec<u8>>,
}

/// The public id of an application key: four derived bytes, from which the key cannot be computed.
pub(crate) type KeyId = [u8; 4];
/// A key derived for one purpose.
pub(crate) type SubKey = Zeroizing<[u8; 32]>;

impl AppKeys {
    /// Parses the text of `APP_KEY`: one key, or several separated by commas, newest first.
    ///
    /// Spaces around a key and the padding of its base64 are optional.
    ///
    /// # Errors
    /// The error gives the position of the key and a command that generates a new one. Reasons are:
    /// - The key is missing, has no prefix `base64:`, or is not base64.
    /// - It has fewer than 32 bytes.
    /// - It follows a pattern or is a published sample.
    /// - It is listed twice.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::AppKeys;
    ///
    /// let error = AppKeys::parse("base64:c2hvcnQ=").unwrap_err().to_string();
    /// assert!(error.starts_with("APP_KEY: key 1 has 5 bytes and needs 32 or more"));
    /// ```
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let mut keys: Vec<Key> = Vec::new();
        for (index, part) in text.split(',').enumerate() {
            let refuse = |problem| KeyError { number: index + 1, problem };
            let key = Key::parse(part.trim()).map_err(refuse)?;
            if keys.iter().any(|other| other.id == key.id) {
                return Err(refuse(Problem::Repeated));
            }
            keys.push(key);
        }
        Ok(Self(keys))
    }

    /// Generates a random key and returns its text for `APP_KEY`.
    ///
    /// Keep the text secret, and use the same key in every process of the application. To get keys for
    /// a test, use [`random`](Self::random) instead.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// assert!(cloakroom::AppKeys::generate().starts_with("base64:"));
    /// ```
    #[must_use]
    pub fn generate() -> String {
        let mut bytes = Zeroizing::new([0; MIN_BYTES]);
        fill_from_system(&mut *bytes);
        format!("{PREFIX}{}", STANDARD.encode(*bytes))
    }

    /// Generates a random key that exists in this process only, for tests.
    ///
    /// Sessions and CSRF tokens become invalid when the process ends.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// assert_eq!(cloakroom::AppKeys::random().len(), 1);
    /// ```
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new(vec![0; MIN_BYTES]);
        fill_from_system(&mut bytes);
        Self(vec![Key::new(bytes)])
    }

    /// Returns the key with these bytes. Skips the checks, because golden vectors use a published key.
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(vec![Key::new(Zeroizing::new(bytes))])
    }

    /// Returns the number of keys, which is at least one.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::AppKeys;
    ///
    /// let text = format!("{},{}", AppKeys::generate(), AppKeys::generate());
    /// assert_eq!(AppKeys::parse(&text)?.len(), 2);
    /// # Ok::<(), cloakroom::KeyError>(())
    /// ```
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Derives a key for `purpose` from the newest application key.
    pub(crate) fn derive(&self, purpose: &str) -> SubKey {
        self.0[0].derive(purpose)
    }

    /// Derives a key for `purpose` from each application key, newest first, with its key id.
    pub(crate) fn derive_all(&self, purpose: &str) -> Vec<(KeyId, SubKey)> {
        self.0.iter().map(|key| (key.id, key.derive(purpose))).collect()
    }
}

impl Key {
    fn parse(text: &str) -> Result<Self, Problem> {
        if text.is_empty() {
            return Err(Problem::Missing);
        }
        let encoded = text.strip_prefix(PREFIX).ok_or(Problem::NoPrefix)?;
        let bytes = Zeroizing::new(BASE64.decode(encoded).map_err(|_| Problem::NotBase64)?);
        if bytes.len() < MIN_BYTES {
            return Err(Problem::Short(bytes.len()));
        }
        if follows_a_pattern(&bytes) {
            return Err(Problem::Pattern);
        }
        if is_published(&bytes) {
            return Err(Problem::Published);
        }
        Ok(Self::new(bytes))
    }

    fn new(derived_from: Zeroizing<Vec<u8>>) -> Self {
        let mut key = Self { id: KeyId::default(), derived_from };
        let id = key.derive("key id");
        key.id.copy_from_slice(&id[..size_of::<KeyId>()]);
        key
    }

    /// Derives a key with HKDF-SHA256 (RFC 5869), without a salt. The info is `cloakroom v1` and the
    /// purpose.
    #[expect(clippy::expect_used, reason = "32 bytes are within HKDF's limit of 255 hashes")]
    fn derive(&self, purpose: &str) -> SubKey {
        let mut derived = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &self.derived_from)
            .expand(format!("cloakroom v1 {purpose}").as_bytes(), &mut *derived)
            .expect("32 bytes can be derived");
        derived
    }
}

/// Returns HMAC-SHA256 of `message` (RFC 2104).
#[expect(clippy::expect_used, reason = "HMAC takes keys of any length")]
pub(crate) fn mac(key: &SubKey, message: &[u8]) -> [u8; 32] {
    let mac = Hmac::<Sha256>::new_from_slice(&**key).expect("a key of 32 bytes");
    mac.chain_update(message).finalize().into_bytes().into()
}

/// Returns whether the bytes look typed or counted: one value or a short repetition, an arithmetic
/// sequence such as the sample `AAECAwQF…`, or printable text.
fn follows_a_pattern(bytes: &[u8]) -> bool {
    let repeats = |period: usize| bytes.iter().zip(&bytes[period..]).all(|(a, b)| a == b);
    let step = bytes[1].wrapping_sub(bytes[0]);
    let counts = bytes.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step);
    let is_text = bytes.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
    counts || is_text || (1..=bytes.len() / 2).any(repeats)
}

fn is_published(key: &[u8]) -> bool {
    PUBLISHED.contains(&STANDARD.encode(Sha256::digest(key)).as_str())
}

/// Shows the number of keys, because their bytes are secret.
impl fmt::Debug for AppKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppKeys({} keys)", self.0.len())
    }
}

/// The reason why an application key was refused.
///
/// The message gives the position of the key, the reason, and a command that generates a new key. It
/// quotes no part of the key.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// let error = cloakroom::AppKeys::parse("hunter2").unwrap_err().to_string();
/// assert!(error.starts_with("APP_KEY: key 1 does not begin with `base64:`"));
/// assert!(!error.contains("hunter2"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyError {
    number: usize,
    problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Problem {
    Unset,
    Missing,
    NoPrefix,
    NotBase64,
    Short(usize),
    Pattern,
    Published,
    Repeated,
}

impl KeyError {
    /// The error for a missing environment variable `APP_KEY`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// assert!(cloakroom::KeyError::UNSET.to_string().starts_with("APP_KEY is not set"));
    /// ```
    pub const UNSET: Self = Self { number: 1, problem: Problem::Unset };
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, problem } = self;
        match problem {
            Problem::Unset => f.write_str(
                "APP_KEY is not set: set it in the environment, or in development in .env in the \
                 current folder",
            ),
            Problem::Missing => write!(f, "APP_KEY: key {number} is missing"),
            Problem::NoPrefix => write!(f, "APP_KEY: key {number} does not begin with `{PREFIX}`"),
            Problem::NotBase64 => write!(f, "APP_KEY: key {number} is not base64 after `{PREFIX}`"),
            Problem::Short(length) => {
                write!(f, "APP_KEY: key {number} has {length} bytes and needs {MIN_BYTES} or more")
            }
            Problem::Pattern => {
                write!(f, "APP_KEY: key {number} follows a pattern and has to be random")
            }
            Problem::Published => {
                write!(f, "APP_KEY: key {number} is a published sample, which is no secret")
            }
            Problem::Repeated => write!(f, "APP_KEY: key {number} is listed twice"),
        }?;
        write!(f, "; {HOW_TO_GENERATE}")
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        format!("base64:{}", STANDARD.encode(bytes))
    }

    #[test]
    fn weak_keys_are_refused_with_the_reason() {
        let counting: Vec<u8> = (0..32).collect();
        let good = AppKeys::generate();
        let laravel = "base64:J63qRTDLub5NuZvP+kb8YIorGS6qFYHKVo6u7179stY=";
        let golden: serde_json::Value =
            serde_json::from_str(include_str!("../../tests/golden/sealed_v1.json")).unwrap();
        let weak = [
            (String::new(), "missing"),
            ("correct horse battery staple, and more".to_owned(), "begin"),
            ("base64:!!!!".to_owned(), "not base64"),
            (text(&[7; 31]), "31 bytes"),
            (text(&[7; 32]), "pattern"),
            (text(&counting), "pattern"),
            (text(&b"0123456789abcdef".repeat(2)), "pattern"),
            (text(b"a passphrase that somebody typed in here"), "pattern"),
            (laravel.to_owned(), "published"),
            (format!("{good},{}", golden["app_key"].as_str().unwrap()), "key 2 is a published"),
            (format!("{good},{good}"), "twice"),
            (format!("{good},"), "key 2 is missing"),
        ];
        for (key, reason) in &weak {
            let error = AppKeys::parse(key).unwrap_err().to_string();
            assert!(error.contains(reason) && error.contains("openssl"), "{key}: {error}");
            let secret = key.trim_start_matches(PREFIX);
            assert!(secret.is_empty() || !error.contains(secret), "the error quotes the key");
        }
    }

    #[test]
    fn debug_shows_no_key() {
        let key = AppKeys::generate();
        let keys = AppKeys::parse(&key).unwrap();
        assert_eq!(format!("{keys:?}"), "AppKeys(1 keys)");
    }

    #[test]
    fn padding_and_spaces_are_optional() {
        let key = AppKeys::generate();
        let unpadded = key.trim_end_matches('=');
        let (one, other) = (AppKeys::parse(&key).unwrap(), AppKeys::parse(unpadded).unwrap());
        assert_eq!(one.0[0].id, other.0[0].id);
        assert!(AppKeys::parse(&format!(" {key} , {} ", AppKeys::generate())).is_ok());
    }

    #[test]
    fn each_purpose_derives_a_different_key() {
        let keys = AppKeys::random();
        assert_ne!(keys.derive_all("a")[0].1, keys.derive_all("b")[0].1);
    }
}
