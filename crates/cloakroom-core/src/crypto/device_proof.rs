//! The proof of a device: a JWT over a challenge, signed by a key that does not leave the device
//! (Device Bound Session Credentials, W3C, "DBSC Proof JWT").
//!
//! The header has `typ` (`dbsc+jwt`), `alg`, and at the registration `jwk`, the public key. The payload has
//! `jti`, the challenge. Browsers before 2026 have the key in the payload, as `jwk` or `key`. Other
//! members are ignored: earlier drafts had `aud`, `iat` and `sub`, and browsers may add more.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The longest proof that is read, in bytes. One with an RSA key of 4096 bits has some 1,700.
const MAX_BYTES: usize = 4096;

/// The algorithms that are announced to browsers, the preferred one first.
pub(crate) const ALGORITHMS: &str =
    if cfg!(feature = "device-binding-rs256") { "ES256 RS256" } else { "ES256" };

/// A signature algorithm (RFC 7518, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Algorithm {
    #[serde(rename = "ES256")]
    Es256,
    #[serde(rename = "RS256")]
    Rs256,
}

/// The public key of a device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DeviceKey {
    pub(crate) alg: Algorithm,
    /// In base64url. ES256: the point in SEC 1's compressed form. RS256: the modulus, for the exponent 65537.
    public: String,
}

/// The reason why a text is no proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoProof {
    /// It is not a JWT of the type `dbsc+jwt`, or longer than any.
    Malformed,
    /// The algorithm is not supported.
    Algorithm,
    /// The proof has no key, or one of the wrong kind or size.
    Key,
}

/// A proof whose signature is not checked yet.
#[derive(Debug)]
pub(crate) struct Proof<'t> {
    alg: Algorithm,
    jwk: Option<Jwk>,
    /// The challenge that the device signed.
    pub(crate) challenge: String,
    signed: &'t str,
    signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    typ: String,
    alg: String,
    jwk: Option<Jwk>,
}

#[derive(Deserialize)]
struct Payload {
    jti: String,
    jwk: Option<Jwk>,
    key: Option<Jwk>,
}

/// A public key (RFC 7517; RFC 7518, 6.2 and 6.3).
#[derive(Debug, Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

impl<'t> Proof<'t> {
    /// Reads a proof.
    pub(crate) fn parse(text: &'t str) -> Result<Self, NoProof> {
        let (signed, signature) = text.rsplit_once('.').ok_or(NoProof::Malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(NoProof::Malformed)?;
        if text.len() > MAX_BYTES {
            return Err(NoProof::Malformed);
        }
        let header: Header = read(header)?;
        let payload: Payload = read(payload)?;
        if header.typ != "dbsc+jwt" {
            return Err(NoProof::Malformed);
        }
        let alg = match header.alg.as_str() {
            "ES256" => Algorithm::Es256,
            "RS256" if cfg!(feature = "device-binding-rs256") => Algorithm::Rs256,
            _ => return Err(NoProof::Algorithm),
        };
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| NoProof::Malformed)?;
        let jwk = header.jwk.or(payload.jwk).or(payload.key);
        Ok(Self { alg, jwk, challenge: payload.jti, signed, signature })
    }

    /// Returns the key that the proof names, if it has signed the proof.
    pub(crate) fn own_key(&self) -> Result<DeviceKey, NoProof> {
        let jwk = self.jwk.as_ref().ok_or(NoProof::Key)?;
        let public = match self.alg {
            Algorithm::Es256 => jwk.point(),
            Algorithm::Rs256 => jwk.modulus(),
        };
        let public = URL_SAFE_NO_PAD.encode(public.ok_or(NoProof::Key)?);
        let key = DeviceKey { alg: self.alg, public };
        if self.is_signed_by(&key) { Ok(key) } else { Err(NoProof::Key) }
    }

    /// Returns whether `key` has signed the proof.
    pub(crate) fn is_signed_by(&self, key: &DeviceKey) -> bool {
        let Ok(public) = URL_SAFE_NO_PAD.decode(&key.public) else { return false };
        self.alg == key.alg
            && match key.alg {
                Algorithm::Es256 => es256(&public, self.signed.as_bytes(), &self.signature),
                Algorithm::Rs256 => rs256(&public, self.signed.as_bytes(), &self.signature),
            }
    }
}

fn read<T: DeserializeOwned>(part: &str) -> Result<T, NoProof> {
    let json = URL_SAFE_NO_PAD.decode(part).map_err(|_| NoProof::Malformed)?;
    serde_json::from_slice(&json).map_err(|_| NoProof::Malformed)
}

impl Jwk {
    /// Returns a point of P-256 in SEC 1's compressed form. The verification finds out whether it is on the
    /// curve.
    fn point(&self) -> Option<Vec<u8>> {
        if self.kty != "EC" || self.crv.as_deref() != Some("P-256") {
            return None;
        }
        let coordinate = |text: &Option<String>| -> Option<[u8; 32]> {
            URL_SAFE_NO_PAD.decode(text.as_deref()?).ok()?.try_into().ok()
        };
        let (x, y) = (coordinate(&self.x)?, coordinate(&self.y)?);
        Some([&[2 + (y[31] & 1)], &x[..]].concat())
    }

    /// Returns the modulus of an RSA key with the exponent 65537 and 2048 to 4096 bits.
    fn modulus(&self) -> Option<Vec<u8>> {
        if self.kty != "RSA" || self.e.as_deref() != Some("AQAB") {
            return None;
        }
        let modulus = URL_SAFE_NO_PAD.decode(self.n.as_deref()?).ok()?;
        (256..=512).contains(&modulus.len()).then_some(modulus)
    }
}

#[cfg(feature = "device-binding")]
fn es256(public: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier as _};

    let key = VerifyingKey::from_sec1_bytes(public);
    let signature = Signature::from_slice(signature);
    matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(signed, &signature).is_ok())
}

/// Without the feature, the settings allow no binding.
#[cfg(not(feature = "device-binding"))]
fn es256(_: &[u8], _: &[u8], _: &[u8]) -> bool {
    false
}

#[cfg(feature = "device-binding-rs256")]
fn rs256(modulus: &[u8], signed: &[u8], signature: &[u8]) -> bool {
    use rsa::{
        BoxedUint, PublicKey,
        pkcs1v15::{Signature, VerifyingKey},
        signature::Verifier as _,
    };

    let modulus = BoxedUint::from_be_slice_vartime(modulus);
    let key = PublicKey::new(modulus, BoxedUint::from(65_537_u32));
    let key = key.map(VerifyingKey::<sha2::Sha256>::new);
    let signature = Signature::try_from(signature);
    matches!((key, signature), (Ok(key), Ok(signature)) if key.verify(signed, &signature).is_ok())
}

/// Without the feature, the algorithm is not announced, and no proof has it.
#[cfg(not(feature = "device-binding-rs256"))]
fn rs256(_: &[u8], _: &[u8], _: &[u8]) -> bool {
    false
}

#[cfg(all(test, feature = "device-binding"))]
mod tests;
