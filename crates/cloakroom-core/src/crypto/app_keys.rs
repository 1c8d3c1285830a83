//! The application key: the one secret from which every other is derived.

use std::fmt;

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD},
};
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::crypto::random::fill_from_system;

/// The shortest key that is accepted, in bytes: 256 bits, where OWASP ASVS 5.0, 11.2.3 asks for 128.
const SHORTEST: usize = 32;
const PREFIX: &str = "base64:";
/// Base64 of the SHA-256 of keys that everyone can read, because people copy them from there.
const PUBLISHED: [&str; 4] = [
    // Laravel's documentation, "Encryption": `APP_KEY` and `APP_PREVIOUS_KEYS`.
    "PiuDNbJQqampGwkN+OWWNgTXcUXKLfo1stf9w71MmJM=",
    "yGt217ab2PWzf30j5uc3FdVzeIhvXX4NYdJ9lE/Ek2E=",
    // The tests of many Laravel packages.
    "iZcy9b2OxstMAjkXLBTljiGsGROcQV+FK/K8b0SMrgo=",
    // The golden vector of sealed cookies in `tests/golden`.
    "maem/pcI5serYCuIohSX8MqQBFVLwJ7CbG5l+cgNEVw=",
];
/// How a new key is made. Named in every error.
const MAKE_ONE: &str =
    "make one with: cloakroom key generate, or: echo \"base64:$(openssl rand -base64 32)\"";

/// Standard base64, with padding or without.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The application's keys, newest first: the first one seals, all of them open.
///
/// They come from the environment variable `APP_KEY`: `base64:` and at least 32 random bytes;
/// several separated by commas. To rotate, put a new key before the old one, and drop the old one
/// when the longest session that it sealed has ended. Order changes which key seals, never which
/// key opens: what was sealed names its key.
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
///
/// # Security
/// Whoever has the key can forge sealed sessions and CSRF tokens. It is wiped from memory when
/// dropped and never printed. Short, repeated and well-known keys are refused, and so are the samples that
/// documentations print.
#[derive(Clone)]
pub struct AppKeys(Vec<Key>);

/// One application key. Only ever used to derive from.
#[derive(Clone)]
struct Key {
    id: KeyId,
    derived_from: Zeroizing<Vec<u8>>,
}

/// Four bytes that tell the keys of a ring apart and reveal nothing of them.
pub(crate) type KeyId = [u8; 4];
/// A key derived for one purpose.
pub(crate) type SubKey = Zeroizing<[u8; 32]>;

impl AppKeys {
    /// Reads keys as `APP_KEY` holds them.
    ///
    /// # Errors
    /// When there is none, or one of them is not `base64:` and 32 or more bytes, follows a pattern,
    /// is a sample from a documentation, or stands twice. The error says which and how to make one.
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

    /// The text of a new random key, to be kept in `APP_KEY`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// assert!(cloakroom::AppKeys::generate().starts_with("base64:"));
    /// ```
    #[must_use]
    pub fn generate() -> String {
        let mut bytes = Zeroizing::new([0; SHORTEST]);
        fill_from_system(&mut *bytes);
        format!("{PREFIX}{}", STANDARD.encode(*bytes))
    }

    /// A random key that is kept nowhere, for tests: when the process ends, so do its sessions.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// assert_eq!(cloakroom::AppKeys::random().len(), 1);
    /// ```
    #[must_use]
    pub fn random() -> Self {
        let mut bytes = Zeroizing::new(vec![0; SHORTEST]);
        fill_from_system(&mut bytes);
        Self(vec![Key::new(bytes)])
    }

    /// The key with these bytes, unchecked: golden vectors use a published one.
    #[cfg(test)]
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(vec![Key::new(Zeroizing::new(bytes))])
    }

    /// How many keys there are; at least one.
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Every key's own key for `purpose`, newest first, by id.
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
        if bytes.len() < SHORTEST {
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

    /// HKDF-SHA256 (RFC 5869) without salt; the purpose is part of the info.
    #[expect(clippy::expect_used, reason = "32 bytes are within HKDF's limit of 255 hashes")]
    fn derive(&self, purpose: &str) -> SubKey {
        let mut derived = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &self.derived_from)
            .expand(format!("cloakroom v1 {purpose}").as_bytes(), &mut *derived)
            .expect("32 bytes can be derived");
        derived
    }
}

/// Whether the bytes are what people type or generate by counting: one value, a short repetition,
/// a sequence such as the sample `AAECAwQF…`, or printable text.
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

/// Shows how many keys there are, and nothing of them.
impl fmt::Debug for AppKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AppKeys({} keys)", self.0.len())
    }
}

/// Why an application key was refused. Shows nothing of the key.
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
    /// The error for an application without `APP_KEY`.
    pub const UNSET: Self = Self { number: 1, problem: Problem::Unset };
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, problem } = self;
        match problem {
            Problem::Unset => f.write_str(
                "APP_KEY is not set: it comes from the environment, in development from .env in the \
                 current folder as well",
            ),
            Problem::Missing => write!(f, "APP_KEY: key {number} is missing"),
            Problem::NoPrefix => write!(f, "APP_KEY: key {number} does not begin with `{PREFIX}`"),
            Problem::NotBase64 => write!(f, "APP_KEY: key {number} is not base64 after `{PREFIX}`"),
            Problem::Short(length) => {
                write!(f, "APP_KEY: key {number} has {length} bytes and needs {SHORTEST} or more")
            }
            Problem::Pattern => {
                write!(f, "APP_KEY: key {number} is not random but follows a pattern")
            }
            Problem::Published => {
                write!(f, "APP_KEY: key {number} is a published sample that everyone knows")
            }
            Problem::Repeated => write!(f, "APP_KEY: key {number} is listed twice"),
        }?;
        write!(f, "; {MAKE_ONE}")
    }
}

impl std::error::Error for KeyError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> String {
        format!("base64:{}", STANDARD.encode(bytes))
    }

    // Requirement 36.
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

    // Requirement 37.
    #[test]
    fn nothing_of_a_key_is_printed() {
        let key = AppKeys::generate();
        let keys = AppKeys::parse(&key).unwrap();
        assert_eq!(format!("{keys:?}"), "AppKeys(1 keys)");
    }

    #[test]
    fn padding_and_spaces_do_not_matter() {
        let key = AppKeys::generate();
        let unpadded = key.trim_end_matches('=');
        let (one, other) = (AppKeys::parse(&key).unwrap(), AppKeys::parse(unpadded).unwrap());
        assert_eq!(one.0[0].id, other.0[0].id);
        assert!(AppKeys::parse(&format!(" {key} , {} ", AppKeys::generate())).is_ok());
    }

    #[test]
    fn every_purpose_has_a_key_of_its_own() {
        let keys = AppKeys::random();
        assert_ne!(keys.derive_all("a")[0].1, keys.derive_all("b")[0].1);
    }
}
