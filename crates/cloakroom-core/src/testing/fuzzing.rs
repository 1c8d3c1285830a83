//! Entry points of the fuzz targets. Each takes arbitrary bytes and panics if an invariant is broken.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::{Value, json, value::RawValue};

use crate::{
    cookie::{CookieSettings, Cookies, ValueForm},
    crypto::{app_keys::AppKeys, device_proof::Proof, seal::Sealer},
    form::FormInput,
    record::Record,
    values::key::Key,
};

fn sealer() -> Sealer {
    Sealer::new(&AppKeys::random(), "session", "session")
}

#[expect(clippy::expect_used, reason = "constants")]
fn cookies() -> Cookies {
    Cookies::new(CookieSettings::development(), ValueForm::Sealed).expect("the defaults are valid")
}

/// Reads `data` as `Cookie` headers. There are at most four candidates, none longer than the header.
pub fn cookie_header(data: &[u8]) {
    let presented = cookies().read(data.split(|byte| *byte == b'\n'));
    assert!(presented.candidates.len() <= 4);
    assert!(presented.candidates.iter().all(|candidate| candidate.len() <= data.len()));
    assert!(presented.sent.chunks.iter().all(|number| (2..=16).contains(number)));
}

/// Opens `data` as a sealed text. Only a text that was sealed can be opened.
pub fn sealed(data: &[u8]) {
    let sealer = sealer();
    assert!(sealer.open(data).is_none(), "a forgery");
    let text = sealer.seal(data);
    assert!(sealer.open(text.as_bytes()).is_some_and(|unsealed| unsealed.plaintext() == data));
}

/// Reads `data` as a record. A record that can be read is written and read again as the same.
pub fn record(data: &[u8]) {
    let Some(record) = Record::decode(&Bytes::copy_from_slice(data)) else { return };
    let Ok(written) = record.encode(None) else { return };
    let again = Record::decode(&written.clone().into()).map(|record| record.encode(None).ok());
    assert_eq!(again.flatten(), Some(written));
    drop(record.values.all());
    drop(record.flash.visible());
}

/// Parses `data` as the body of a form. The first byte chooses its type.
pub fn form(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let types = [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json",
        "text/plain",
    ];
    let content_type = types[usize::from(*first) % types.len()];
    let parsed = FormInput::parse(&[("content-type", content_type)][..], body.to_vec().into())
        .now_or_never();
    let Some(Ok(input)) = parsed else { return };
    assert!(!input.flashable().contains_key("password"));
    drop(input.deserialize::<std::collections::BTreeMap<String, Vec<u8>>>());
    drop(input.only(&["a.b", "c"]));
    // `only` and `except` find each field by its name. Removed entries of lists become `null`.
    for name in input.all().keys().take(4) {
        assert!(input.get(name).is_some());
        assert!(!input.only(&[name]).is_empty());
        let rest = FormInput::of(input.except(&[name]));
        assert!(rest.get(name).is_none_or(Value::is_null));
    }
}

/// Puts, reads and forgets a value. No key reaches the value of another one. The first line of `data` is
/// the key, the rest is the value.
pub fn keys(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (key, value) = text.split_once('\n').unwrap_or((&text, ""));
    let literal = Key::literal(key);
    for value in [serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)), json!({})] {
        let session = crate::testing::session();
        let (dotted, named) = (session.put(key, &value), session.put(literal, &value));
        assert!(
            named.is_ok() == (key.len() <= 1024)
                || named.is_err_and(|error| error.code() == "encode")
        );
        if session.has(literal) {
            assert!(session.all().contains_key(key));
        }
        let text = value.to_string();
        if dotted.is_ok() && !key.contains(['.', '[', ']']) && !key.is_empty() {
            let (in_brackets, with_dot) = (format!("{key}[x]"), format!("{key}.x"));
            if session.put(key, json!({})).is_ok() && session.put(&in_brackets, &value).is_ok() {
                let read = session.get::<Box<RawValue>>(&with_dot).ok().flatten();
                assert_eq!(read.map_or("null".into(), |read| read.to_string()), text);
            }
        }
        if dotted.is_ok() {
            assert!(session.has(key) && session.pull::<Value>(key).is_ok());
            assert!(!session.has(key));
        }
        drop(session.increment(key));
        drop(session.update(key, |list: &mut Vec<u8>| list.push(1)));
        assert!(session.forget(key).is_ok() || !session.has(key));
    }
}

/// Splits a value into chunks and reads it again, in any order of the chunks.
pub fn chunks(data: &[u8]) {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let repeats = 1 + data.first().map_or(0, |byte| usize::from(*byte) * 64 / (data.len() + 1));
    let text = data.repeat(repeats);
    let text = text.iter().map(|byte| char::from(alphabet[usize::from(byte % 64)]));
    // The reader skips values that cannot be sealed texts.
    let value: String = "AQ".chars().chain(text).chain("-".repeat(58).chars()).collect();
    let max_age = Some(std::time::Duration::from_secs(3_600));
    if cookies().check_size(&value, max_age).is_err() {
        return;
    }
    let lines = cookies().issue(&value, max_age, &[]);
    assert!(lines.iter().all(|line| line.len() <= 4096));
    let mut pairs: Vec<_> = lines.iter().filter_map(|line| line.split(';').next()).collect();
    let turn = data.len() % pairs.len().max(1);
    pairs.rotate_left(turn);
    let header = pairs.join("; ");
    let presented = cookies().read(std::iter::once(header.as_bytes()));
    let read: Vec<_> = presented.candidates.iter().map(|value| value.to_vec()).collect();
    assert_eq!(read, [value.into_bytes()]);
}

/// Reads `data` as the proof of a device, and as the header and the payload of one. No key has signed it.
pub fn device_proof(data: &[u8]) {
    let whole = String::from_utf8_lossy(data);
    let cut = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let [header, payload] = [&data[..cut], &data[cut..]].map(|json| URL_SAFE_NO_PAD.encode(json));
    let parts = format!("{header}.{payload}.{}", URL_SAFE_NO_PAD.encode([1; 64]));
    for text in [&*whole, &parts] {
        if let Ok(proof) = Proof::parse(text) {
            assert!(proof.own_key().is_err());
        }
    }
}
