//! Reads `Cookie` headers as the octets that they are (RFC 6265bis, 4.2).
//!
//! Names match to the byte: nothing is percent-decoded and no Unicode space trimmed, or
//! `%5F%5FHost-session` could pass for `__Host-session`. A pair that is no pair is passed over and
//! hides no other.

/// The cookies of `headers`, as pairs of name and value, in the order in which they came.
pub(super) fn pairs<'h>(
    headers: impl Iterator<Item = &'h [u8]>,
) -> impl Iterator<Item = (&'h [u8], &'h [u8])> {
    headers.flat_map(|header| header.split(|byte| *byte == b';')).filter_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        Some((trim(&pair[..equals]), trim(&pair[equals + 1..])))
    })
}

/// Without the spaces and tabs around, and no other octets.
fn trim(mut octets: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = octets {
        octets = rest;
    }
    octets
}
