//! The names of files and folders.

use cloakroom_store::RecordKey;

/// Returns the name of a record's file: its key in hexadecimal.
pub(super) fn file_name(key: &RecordKey) -> String {
    hex(key.as_bytes())
}

/// Returns the name of the folder that has a record's file. Depends on the tag, so that both files of a
/// rotation are in one folder, under one lock.
pub(super) fn shard_name(key: &RecordKey) -> String {
    hex(&key.tag()[..1])
}

/// Returns bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.extend([byte >> 4, byte & 0xf].map(|digit| char::from(DIGITS[usize::from(digit)])));
    }
    text
}

/// Returns the key of the record whose file has this name, or `None` if it is another file's name.
pub(super) fn key_of_file(name: &str) -> Option<RecordKey> {
    let mut key = [0; 32];
    if name.len() != 2 * key.len() || !name.is_ascii() {
        return None;
    }
    for (at, byte) in key.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&name[2 * at..2 * at + 2], 16).ok()?;
    }
    let key = RecordKey::from_bytes(key);
    (file_name(&key) == name).then_some(key)
}
