//! The tokens were made by another implementation (Python's `cryptography`), except where a comment names
//! their source.

use super::*;

const REGISTRATION: &str = "eyJ0eXAiOiJkYnNjK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwiY3J2IjoiUC0yNTYiLCJ4IjoiVVZ3OWJybmpscmtFMF83S2YxVDl6UXpCNlplX04xM0tVVnJRcHNPMEExOCIsInkiOiJSVGEtT2xEekdQdjVwVWRaQXFJaFVDdnZEVmZnakZPeXpBcFc4WDJmazFRIn19.eyJqdGkiOiJjdiJ9.cQJLxIh7KABXiCm3q1FKr1QdrlNcGZV2dgmeWjf50OcDEITkZpe71QqMsS5Kv4hElLo6C19vSVi-XvgIpcEHFw";
const REFRESH: &str = "eyJ0eXAiOiJkYnNjK2p3dCIsImFsZyI6IkVTMjU2In0.eyJqdGkiOiJjdjIiLCJhdWQiOiJodHRwczovL2V4YW1wbGUuY29tL3IiLCJpYXQiOjE3MjU1NzkwNTUsIngiOlsxXX0.4hwsI3TeN9CgYgoKUOVP2sdsq6DSjCLKpU53brjIzKFGVuKRFDoN7auWyOrF_BC0sJCvNpkk1Fvl1a5wqFSyWw";
#[cfg(feature = "device-binding-rs256")]
const RSA: &str = "eyJ0eXAiOiJkYnNjK2p3dCIsImFsZyI6IlJTMjU2IiwiandrIjp7Imt0eSI6IlJTQSIsIm4iOiJ2SFF3RmtKc0Fzdkhwd2swdTBsLWx1YTFVY1lGTEFhZVppcGhyQ0NETmY0Ymw3ME1NTVd0TDBpSXRaUUg1Z1N3YjJuNkR0SERIOVlOTE9udUx5UHl5ZmVHak5hcXRPRGVuX3g5SHZQSS1JUXk2Ykl0QXRvcFpRUEVpX0FmV3VuejRrWDFfNHh6bjlJU2t4Ukw3Tl9CeTVVc3N6cDY0VUlPQmdnLXRTYVBCNjNrN3FsVGNxNVo3alFycE1BM2VRTVhBektOeTJPU2R0bV85TV9tQ1o3dTg2dkJIMGx5dlVScmFPRVNiTVRFRGh3V2c4WlR2UEJzSVZmY09HU29HaFpVSHFHS3pDai1PVWJkOEs0YkpIRVo4VjVkcXkwRThXY2k0R25fVzd2T2JGaFh4RVFqODQ0cG5scG1pR3dQRWJubGhPLWdjWEFZUjBVd183UnYxekpPSnciLCJlIjoiQVFBQiJ9fQ.eyJqdGkiOiJjdiJ9.fMJFIPEDnQ0gxj_shCUYFyJr3JGHNGWSgRyQiTlNRZuaPWDdt4W4JuaCJqXoODQi8hoLrtEgzeqZCwnQKtu49hL3LDwGcMQhAEQ7umAo2r-Is1mfBgNVOQEK17waBXOKwgvZ6JvvEVPCF-zV15VBt2mo-2wIifFdbsie-edCaJPteaQpR9Qcvl8uaaZm8TjhW7gHsXnQTv8xtDiiirAcwu0BsVW3aW1oarklrS3zbnDD7l5jYDn4tw2GiN3fSKiGuiRUYxyhlVRrxhdksxfLsb89HEUrv_IJLwgWl_6F0zeNshMeLtAh9Cd4mkP0Ftwx2UdIHknLWyanVriYCVUaNg";

/// The example of the specification (W3C, "DBSC Proof JWT Syntax"), as of 2025. Its signature is not one of
/// its text.
const EXAMPLE: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImRic2Mrand0In0.eyJhdWQiOiJodHRwczovL2V4YW1wbGUuY29tL3JlZyIsImp0aSI6ImN2IiwiaWF0IjoiMTcyNTU3OTA1NSIsImp3ayI6eyJrdHkiOiJFQyIsImNydiI6IlAtMjU2IiwieCI6IjZfR0Iydm9RMHFyb01oNk9sREZDRlNfU0pyaVFpMVBUdnZCT2hHWjNiSEkiLCJ5IjoiSWVnT0pVTHlFN1N4SF9DZDFLQ0VSN2xXQnZHRkhRLWgweHlqelVqRUlXRSJ9LCJhdXRob3JpemF0aW9uIjoiYWMifQ.6Fb_vVBDmfNghQiBmIGe8o7tBfYPbPCywhQruP0vIhxgmcJmuNTaMHeVn_M8ZnOm1_bzIitbZqCWEn-1Qzmtyw";

/// A proof from the tests of another server, whose signature is in DER instead of RFC 7518's form.
const DER: &str = "eyJhbGciOiJFUzI1NiIsInR5cCI6ImRic2Mrand0In0.eyJhdWQiOiJodHRwczovL2V4YW1wbGUuY29tL2FwaS9zZXNzaW9uL2Ric2MvcmVnaXN0ZXIiLCJqdGkiOiJjdiIsImlhdCI6MTcyNTU3OTA1NSwia2V5Ijp7Imt0eSI6IkVDIiwiY3J2IjoiUC0yNTYiLCJ4IjoiSy1aSHM3cWo1RmtDZGhIeno4NFFzQ2FkOFFwVnNJdzVIRWdhQkZoeEN3TSIsInkiOiJwanUtWFVCdDN3TXhzRlBRdW9EVHNWcjU4SHREc2ZnOTVkLXVqYXFMRmtNIn0sImF1dGhvcml6YXRpb24iOiJhYyJ9.MEYCIQDZAGTcudcWFHZiUkr8jgF0cbBKT-C5H8jUSwh5fplCrwIhAMRR375Bm0DjmCt9P_85Q79ovtv7o97cvc1NOQaNWdrA";

fn parse(text: &str) -> Proof<'_> {
    Proof::parse(text).unwrap_or_else(|problem| panic!("{problem:?}"))
}

/// Makes an unsigned token.
fn token(header: &str, payload: &str) -> String {
    let [header, payload] = [header, payload].map(|json| URL_SAFE_NO_PAD.encode(json));
    format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([0; 64]))
}

#[test]
fn the_key_of_a_registration_verifies_later_proofs() {
    let registration = parse(REGISTRATION);
    assert_eq!(registration.challenge, "cv");
    let key = registration.own_key().unwrap();
    let refresh = parse(REFRESH);
    assert_eq!(refresh.challenge, "cv2");
    assert!(refresh.is_signed_by(&key));
    assert_eq!(refresh.own_key(), Err(NoProof::Key), "a refresh has no key");
}

/// The example of RFC 7515, appendix A.3: its signing input, its key and its signature.
#[test]
fn the_example_of_rfc_7515_for_es256_is_signed_by_its_key() {
    let signed = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
    let jwk = r#"{
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
    }"#;
    let signature =
        "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
    let mut proof = Proof {
        alg: Algorithm::Es256,
        jwk: Some(serde_json::from_str(jwk).unwrap()),
        challenge: String::new(),
        signed,
        signature: URL_SAFE_NO_PAD.decode(signature).unwrap(),
    };
    let key = proof.own_key().unwrap();
    assert!(!parse(REFRESH).is_signed_by(&key));
    for index in 0..proof.signature.len() {
        proof.signature[index] ^= 1;
        assert!(!proof.is_signed_by(&key), "byte {index} of the signature");
        proof.signature[index] ^= 1;
    }
    proof.signed = &signed[1..];
    assert!(!proof.is_signed_by(&key), "another text");
    let text = format!("{signed}.{signature}");
    assert_eq!(Proof::parse(&text).unwrap_err(), NoProof::Malformed, "it is no proof of a device");
}

#[cfg(feature = "device-binding-rs256")]
#[test]
fn a_device_without_elliptic_curves_has_an_rsa_key() {
    let key = parse(RSA).own_key().unwrap();
    assert_eq!(key.alg, Algorithm::Rs256);
    assert!(!parse(REFRESH).is_signed_by(&key));
}

#[test]
fn a_proof_that_was_changed_is_not_signed() {
    let (signed, signature) = REGISTRATION.rsplit_once('.').unwrap();
    let payload = URL_SAFE_NO_PAD.encode(r#"{"jti":"other"}"#);
    let (header, _) = signed.split_once('.').unwrap();
    let changed = format!("{header}.{payload}.{signature}");
    assert_eq!(parse(&changed).own_key(), Err(NoProof::Key));
    for cut in 0..REGISTRATION.len() {
        let whole = Proof::parse(&REGISTRATION[..cut]).is_ok_and(|proof| proof.own_key().is_ok());
        assert!(!whole, "cut at {cut}");
    }
}

#[test]
fn proofs_of_other_implementations_are_read() {
    for text in [EXAMPLE, DER] {
        let proof = parse(text);
        assert_eq!(proof.challenge, "cv");
        assert!(proof.jwk.as_ref().is_some_and(|jwk| jwk.point().is_some()), "{proof:?}");
        assert_eq!(proof.own_key(), Err(NoProof::Key));
    }
}

#[test]
fn other_tokens_are_refused() {
    let payload = r#"{"jti":"cv"}"#;
    for (header, payload, problem) in [
        (r#"{"typ":"jwt","alg":"ES256"}"#, payload, NoProof::Malformed),
        (r#"{"alg":"ES256"}"#, payload, NoProof::Malformed),
        (r#"{"typ":"dbsc+jwt","alg":"none"}"#, payload, NoProof::Algorithm),
        (r#"{"typ":"dbsc+jwt","alg":"HS256"}"#, payload, NoProof::Algorithm),
        (r#"{"typ":"dbsc+jwt","alg":"ES256"}"#, "{}", NoProof::Malformed),
        (r#"{"typ":"dbsc+jwt","alg":"ES256"}"#, r#"{"jti":7}"#, NoProof::Malformed),
        ("[]", payload, NoProof::Malformed),
    ] {
        assert_eq!(
            Proof::parse(&token(header, payload)).unwrap_err(),
            problem,
            "{header} {payload}"
        );
    }
    for text in ["", ".", "..", "a.b", "a.b.c.d", "é.é.é", &"a.".repeat(3_000)] {
        assert_eq!(Proof::parse(text).unwrap_err(), NoProof::Malformed, "{text:.20}");
    }
}

#[test]
fn keys_of_another_kind_or_size_are_refused() {
    let zero = URL_SAFE_NO_PAD.encode([0; 32]);
    let short = URL_SAFE_NO_PAD.encode([1; 31]);
    for jwk in [
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{zero}","y":"{zero}"}}"#),
        format!(r#"{{"kty":"EC","crv":"P-256","x":"{short}","y":"{zero}"}}"#),
        format!(r#"{{"kty":"EC","crv":"P-384","x":"{zero}","y":"{zero}"}}"#),
        format!(r#"{{"kty":"RSA","n":"{zero}","e":"AQAB"}}"#),
        r#"{"kty":"EC"}"#.to_owned(),
    ] {
        let header = format!(r#"{{"typ":"dbsc+jwt","alg":"ES256","jwk":{jwk}}}"#);
        let text = token(&header, r#"{"jti":"cv"}"#);
        assert_eq!(parse(&text).own_key(), Err(NoProof::Key), "{jwk}");
    }
}
