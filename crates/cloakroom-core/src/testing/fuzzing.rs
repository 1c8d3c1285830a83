//! Doors for the fuzz targets: each takes any bytes and panics where an invariant breaks.

use bytes::Bytes;
use futures_util::FutureExt;
use serde_json::{Value, json};

use crate::{
    cookie::{CookieSettings, Cookies, ValueForm},
    crypto::{app_keys::AppKeys, seal::Sealer},
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

/// Any `Cookie` header: at most four candidates, none longer than the header.
pub fn cookie_header(data: &[u8]) {
    let presented = cookies().read(data.split(|byte| *byte == b'\n'));
    assert!(presented.candidates.len() <= 4);
    assert!(presented.candidates.iter().all(|it| it.len() <= data.len()));
    assert!(presented.chunks.iter().all(|number| (2..=16).contains(number)));
}

/// Any text in place of a sealed one: nothing opens but what was sealed.
pub fn sealed(data: &[u8]) {
    let sealer = sealer();
    assert!(sealer.open(data).is_none(), "a forgery");
    let text = sealer.seal(data);
    assert!(sealer.open(text.as_bytes()).is_some_and(|it| it.plaintext() == data));
}

/// Any bytes in place of a record: what reads is written, and reads again as the same.
pub fn record(data: &[u8]) {
    let Some(record) = Record::decode(&Bytes::copy_from_slice(data)) else { return };
    let Ok(written) = record.encode(None) else { return };
    let again = Record::decode(&written.clone().into()).map(|record| record.encode(None).ok());
    assert_eq!(again.flatten(), Some(written));
    drop(record.values.all());
    drop(record.flash.shown());
}

/// Any body, as a form of each type; the first byte chooses.
pub fn form(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let types = [
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json",
        "text/plain",
    ];
    let content_type = types[usize::from(*first) % types.len()];
    let parsed = FormInput::parse(Some(content_type), body.to_vec().into()).now_or_never();
    let Some(Ok(input)) = parsed else { return };
    assert!(!input.flashable().contains_key("password"));
    drop(input.deserialize::<std::collections::BTreeMap<String, Vec<u8>>>());
    drop(input.only(&["a.b", "c"]));
    // By the names that were sent, each field is picked, and dropped. Entries of lists become `null`.
    for name in input.all().keys().take(4) {
        assert!(input.get(name).is_some());
        assert!(!input.only(&[name]).is_empty());
        let rest = FormInput::of(input.except(&[name]));
        assert!(rest.get(name).is_none_or(Value::is_null));
    }
}

/// Any key of any value: what is put is read and forgotten again, and no key reaches another's value.
/// The first line is the key, the rest the value.
pub fn keys(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (key, value) = text.split_once('\n').unwrap_or((&text, ""));
    let literal = Key::literal(key);
    for value in [serde_json::from_str(value).unwrap_or_else(|_| Value::from(value)), json!({})] {
        let session = crate::testing::session();
        let (dotted, named) = (session.put(key, &value), session.put(literal, &value));
        assert!(
            named.is_ok() == (key.len() <= 1024) || named.is_err_and(|it| it.code() == "encode")
        );
        if session.has(literal) {
            assert!(session.all().contains_key(key));
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

/// Any value, split over chunks and read again, in any order and beside any neighbour.
pub fn chunks(data: &[u8]) {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let repeats = 1 + data.first().map_or(0, |byte| usize::from(*byte) * 64 / (data.len() + 1));
    let text = data.repeat(repeats);
    let text = text.iter().map(|byte| char::from(alphabet[usize::from(byte % 64)]));
    // The reader passes over values that cannot be sealed texts.
    let value: String = "AQ".chars().chain(text).chain("-".repeat(58).chars()).collect();
    let age = Some(std::time::Duration::from_secs(3_600));
    if cookies().check_size(&value, age).is_err() {
        return;
    }
    let lines = cookies().issue(&value, age, &[]);
    assert!(lines.iter().all(|line| line.len() <= 4096));
    let mut pairs: Vec<_> = lines.iter().filter_map(|line| line.split(';').next()).collect();
    let turn = data.len() % pairs.len().max(1);
    pairs.rotate_left(turn);
    let header = pairs.join("; ");
    let presented = cookies().read(std::iter::once(header.as_bytes()));
    let read: Vec<_> = presented.candidates.iter().map(|it| it.to_vec()).collect();
    assert_eq!(read, [value.into_bytes()]);
}
