//! Splits a value that is too long for one cookie over several, and joins it again.
//!
//! A value in one cookie is `NAME=value`. In three cookies it is `NAME=3.first`, `NAME.2=second` and
//! `NAME.3=third`. Values are base64url and have no dots, so a count of chunks is unambiguous. If one of
//! the counted chunks is missing, the value is ignored.

use std::borrow::Cow;

use arrayvec::ArrayVec;

use crate::cookie::{
    header,
    settings::MAX_CHUNKS,
    value_form::{ValueForm, split_count},
};

/// The length of a cookie that every browser stores. RFC 6265bis, 5.6 counts name and value. This
/// limit includes the attributes, because some browsers count them too.
const MAX_COOKIE_BYTES: usize = 4096;

/// The number of different values of the session cookie that are looked up or opened.
///
/// A browser sends one value, or two if a neighbouring host planted another. A request with more values
/// is an attack.
pub(crate) const MAX_CANDIDATES: usize = 4;

/// The part of a value that one cookie holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) number: usize,
    pub(super) value: String,
}

/// A value that does not fit into the number of cookies that the settings allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge {
    /// The length of the value in characters.
    pub(crate) size: usize,
    /// The length that fits.
    pub(crate) limit: usize,
}

/// Returns the length of the longest value that fits into one cookie. `overhead` is the length of the
/// attributes.
fn max_value_len(name: &str, overhead: usize) -> usize {
    MAX_COOKIE_BYTES.saturating_sub(name.len() + "=".len() + overhead)
}

/// Returns the length of the longest chunk. Reserves three characters for the number and the dot in
/// the name or the value, because the longest are `16.`.
fn max_chunk_len(name: &str, overhead: usize) -> usize {
    max_value_len(name, overhead + "16.".len())
}

/// Returns whether `value` fits into one cookie.
pub(super) fn fits_one(value: &str, name: &str, overhead: usize) -> bool {
    value.len() <= max_value_len(name, overhead)
}

/// Checks that `value` fits into `max_chunks` cookies.
pub(super) fn check_size(
    value: &str,
    name: &str,
    overhead: usize,
    max_chunks: u8,
) -> Result<(), TooLarge> {
    let limit = match max_chunks {
        0 | 1 => max_value_len(name, overhead),
        _ => max_chunk_len(name, overhead) * usize::from(max_chunks),
    };
    if value.len() > limit { Err(TooLarge { size: value.len(), limit }) } else { Ok(()) }
}

/// Splits `value` over the smallest number of cookies.
pub(super) fn split(value: &str, name: &str, overhead: usize) -> Vec<Chunk> {
    if fits_one(value, name, overhead) {
        return vec![Chunk { number: 1, value: value.to_owned() }];
    }
    let length = max_chunk_len(name, overhead);
    let parts: Vec<&[u8]> = value.as_bytes().chunks(length).collect();
    let count = parts.len();
    let chunk = |(index, part): (usize, &&[u8])| {
        let text = String::from_utf8_lossy(part);
        let value = if index == 0 { format!("{count}.{text}") } else { text.into_owned() };
        Chunk { number: index + 1, value }
    };
    parts.iter().enumerate().map(chunk).collect()
}

/// The values in a request that may be the session's token or its sealed record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenCandidates<'h> {
    /// The different values, each joined from its chunks.
    pub(crate) candidates: ArrayVec<Cow<'h, [u8]>, MAX_CANDIDATES>,
    /// Whether the candidates are of the cookie's [old name](super::old_name).
    pub(crate) are_of_old_name: bool,
    pub(crate) sent: SentCookies,
    /// The cookie of another library, whose session is taken over if there is no candidate.
    pub(crate) foreign: Option<Cow<'h, str>>,
    /// The values of the bound cookie, by which a device proves itself.
    pub(crate) device: ArrayVec<Cow<'h, [u8]>, MAX_CANDIDATES>,
}

/// The cookies in a request that its response may have to remove.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SentCookies {
    /// The numbers of all chunks in the request, in ascending order. Includes chunks that belong to no
    /// value.
    pub(crate) chunks: Vec<u8>,
    /// The same of the cookie's old name. `None` if the request has no cookie of it.
    pub(crate) old_chunks: Option<Vec<u8>>,
}

/// The values in a request of one chunk's cookie.
#[derive(Clone, Copy)]
enum Part<'h> {
    /// Every value has the wrong form, so another application set it.
    Foreign,
    One(&'h [u8]),
    /// There are different values of the right form. Each may belong to the session.
    Ambiguous,
}

impl<'h> TokenCandidates<'h> {
    /// Reads the token from the `Authorization: Bearer` header (RFC 6750, 2.1). Finds no candidate if
    /// the request has several `Authorization` headers.
    pub(crate) fn bearer(mut headers: impl Iterator<Item = &'h [u8]>) -> Self {
        let mut found = Self::default();
        if let (Some(header), None) = (headers.next(), headers.next())
            && let Some((scheme, token)) = header.split_at_checked("Bearer ".len())
            && scheme.eq_ignore_ascii_case(b"Bearer ")
        {
            found.candidates.push(Cow::Borrowed(token.trim_ascii()));
        }
        found
    }

    /// Makes the candidates of a request that has this value only.
    pub(crate) fn only(value: &'h [u8]) -> Self {
        let mut found = Self::default();
        found.candidates.push(Cow::Borrowed(value));
        found
    }

    /// Copies the values, so that they outlive the request's headers.
    pub(crate) fn into_owned(self) -> TokenCandidates<'static> {
        let owned = |value: Cow<'_, [u8]>| Cow::Owned(value.into_owned());
        let candidates = self.candidates.into_iter().map(owned).collect();
        let foreign = self.foreign.map(|cookie| Cow::Owned(cookie.into_owned()));
        let device = self.device.into_iter().map(owned).collect();
        TokenCandidates { candidates, foreign, device, ..self }
    }

    /// Reads the cookie `name` and its chunks from `Cookie` headers. Passes over the headers once.
    ///
    /// Finds no candidate if there are more than [`MAX_CANDIDATES`] different values.
    pub(super) fn read(
        headers: impl Iterator<Item = &'h [u8]>,
        name: &str,
        form: ValueForm,
        max_chunks: u8,
    ) -> Self {
        // Holds one value beyond the limit, which shows that the limit is exceeded.
        let mut whole = ArrayVec::<&[u8], { MAX_CANDIDATES + 1 }>::new();
        let mut parts = Parts::default();
        for (candidate, value) in header::pairs(headers) {
            let Some(suffix) = candidate.strip_prefix(name.as_bytes()) else { continue };
            if suffix.is_empty() {
                if !whole.is_full() && form.accepts(value) && !whole.contains(&value) {
                    whole.push(value);
                }
            } else if let Some(number) = suffix.strip_prefix(b".").and_then(number) {
                parts.add(number, Some(value).filter(|value| form.accepts_chunk(value)));
            }
        }
        if whole.len() > MAX_CANDIDATES {
            tracing::warn!(
                "ignoring the session cookie: a request has more than {MAX_CANDIDATES} different \
                 values of it"
            );
            whole.clear();
        }
        let candidates = whole.into_iter().filter_map(|value| join(value, &parts, max_chunks));
        let sent = SentCookies { chunks: parts.numbers(), old_chunks: None };
        Self { candidates: candidates.collect(), sent, ..Self::default() }
    }
}

/// The chunks in a request, by number. Most requests have none.
#[derive(Default)]
struct Parts<'h>(Vec<(u8, Part<'h>)>);

impl<'h> Parts<'h> {
    /// Adds a chunk. `value` is `None` if the chunk has the wrong form.
    fn add(&mut self, number: u8, value: Option<&'h [u8]>) {
        match self.0.iter_mut().find(|(known, _)| *known == number) {
            Some((_, part)) => *part = part.with(value),
            None => self.0.push((number, Part::Foreign.with(value))),
        }
    }

    /// Returns the value of a chunk if it is unambiguous.
    fn get(&self, number: u8) -> Option<&'h [u8]> {
        match self.0.iter().find(|(known, _)| *known == number)? {
            (_, Part::One(value)) => Some(value),
            (_, Part::Foreign | Part::Ambiguous) => None,
        }
    }

    fn numbers(&self) -> Vec<u8> {
        let mut numbers: Vec<_> = self.0.iter().map(|(number, _)| *number).collect();
        numbers.sort_unstable();
        numbers
    }
}

impl<'h> Part<'h> {
    fn with(self, value: Option<&'h [u8]>) -> Self {
        match (self, value) {
            (part, None) => part,
            (Self::Foreign, Some(value)) => Self::One(value),
            (Self::One(same), Some(value)) if same == value => self,
            (Self::One(_) | Self::Ambiguous, Some(_)) => Self::Ambiguous,
        }
    }
}

/// Parses a chunk's number or a count of chunks: 2 to 16, without a leading zero or plus sign.
fn number(digits: &[u8]) -> Option<u8> {
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let canonical = !digits.starts_with(b"0") && !digits.starts_with(b"+");
    (canonical && (2..=MAX_CHUNKS).contains(&number)).then_some(number)
}

/// Joins the chunks that `value` counts. Returns `None` if the count is invalid or a chunk is missing.
fn join<'h>(value: &'h [u8], parts: &Parts<'h>, max_chunks: u8) -> Option<Cow<'h, [u8]>> {
    let Some((count, first)) = split_count(value) else { return Some(Cow::Borrowed(value)) };
    let count = number(count).filter(|count| *count <= max_chunks)?;
    let mut whole = first.to_vec();
    for number in 2..=count {
        whole.extend_from_slice(parts.get(number)?);
    }
    Some(Cow::Owned(whole))
}
