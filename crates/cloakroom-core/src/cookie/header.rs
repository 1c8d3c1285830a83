//! Reads `Cookie` headers as the octets that they are (RFC 6265bis, 4.2).
//!
//! Names match to the byte: nothing is percent-decoded and no Unicode space trimmed, or
//! `%5F%5FHost-session` could pass for `__Host-session`. A pair that is no pair is passed over and
//! hides no other.

use std::iter;

use memchr::memchr;

/// The names and values of all cookies, in the order in which they came.
pub(super) fn pairs<'h>(
    headers: impl Iterator<Item = &'h [u8]>,
) -> impl Iterator<Item = (&'h [u8], &'h [u8])> {
    headers.flat_map(split).filter_map(|pair| {
        let equals = memchr(b'=', pair)?;
        Some((trim(&pair[..equals]), trim(&pair[equals + 1..])))
    })
}

/// Returns what stands between the semicolons.
fn split(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut left = Some(header);
    iter::from_fn(move || {
        let rest = left?;
        let end = memchr(b';', rest);
        left = end.map(|end| &rest[end + 1..]);
        Some(&rest[..end.unwrap_or(rest.len())])
    })
}

fn trim(mut octets: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = octets {
        octets = rest;
    }
    octets
}
