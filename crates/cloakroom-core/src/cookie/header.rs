//! Parses `Cookie` headers as octets (RFC 6265bis, 4.2).
//!
//! Names are compared byte by byte. Percent-decoding or the trimming of Unicode spaces would turn a name
//! such as `%5F%5FHost-shop` into `__Host-shop`. A malformed pair is skipped and leaves the other
//! pairs intact.

use std::iter;

use memchr::memchr;

/// Returns the names and values of all cookies, in the order of the headers.
pub(super) fn pairs<'h>(
    headers: impl Iterator<Item = &'h [u8]>,
) -> impl Iterator<Item = (&'h [u8], &'h [u8])> {
    headers.flat_map(split).filter_map(|pair| {
        let equals = memchr(b'=', pair)?;
        Some((trim(&pair[..equals]), trim(&pair[equals + 1..])))
    })
}

/// Splits a header at its semicolons.
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
