//! A value that is too long for one cookie, over several.
//!
//! One cookie: `NAME=value`. Several, here three: `NAME=3.first`, `NAME.2=second`, `NAME.3=third`.
//! No value has a dot of its own, so the count cannot be mistaken. Reading is all or nothing: the
//! parts are put together exactly as counted, and what does not open then is nothing.

use std::borrow::Cow;

use arrayvec::ArrayVec;

use crate::cookie::{header, settings::MAX_CHUNKS, value_form::ValueForm};

/// What every browser keeps of a cookie: name, value and attributes together (RFC 6265bis, 5.6
/// counts name and value alone; some browsers count all).
const MAX_COOKIE_BYTES: usize = 4096;

/// How many different values of one name and of the right form are looked at. A visitor's browser
/// sends one, or two where a neighbour tossed one in; more is an attack.
pub(crate) const MAX_CANDIDATES: usize = 4;

/// One cookie's share of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Chunk {
    pub(super) number: usize,
    pub(super) value: String,
}

/// A value that does not fit into the cookies it is allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge {
    /// Characters of the value.
    pub(crate) size: usize,
    /// Characters that fit.
    pub(crate) limit: usize,
}

/// How long a value may be in a cookie whose name or value has `extra` characters more.
fn room(name: &str, overhead: usize, extra: usize) -> usize {
    MAX_COOKIE_BYTES.saturating_sub(name.len() + "=".len() + extra + overhead)
}

/// Whether `value` fits into one cookie. `overhead` is the length of a cookie's attributes.
pub(super) fn fits_one(value: &str, name: &str, overhead: usize) -> bool {
    value.len() <= room(name, overhead, 0)
}

/// Checks that `value` fits into `most` cookies.
pub(super) fn check_size(
    value: &str,
    name: &str,
    overhead: usize,
    most: u8,
) -> Result<(), TooLarge> {
    let limit = match most {
        0 | 1 => room(name, overhead, 0),
        _ => room_of_chunk(name, overhead) * usize::from(most),
    };
    if value.len() > limit { Err(TooLarge { size: value.len(), limit }) } else { Ok(()) }
}

/// How long a value may be in one of several cookies. A chunk's name or value has a number and a dot
/// more. All are given the longest, "16.".
fn room_of_chunk(name: &str, overhead: usize) -> usize {
    room(name, overhead, "16.".len())
}

/// Splits `value` over as few cookies as it takes.
pub(super) fn split(value: &str, name: &str, overhead: usize) -> Vec<Chunk> {
    if fits_one(value, name, overhead) {
        return vec![Chunk { number: 1, value: value.to_owned() }];
    }
    let each = room_of_chunk(name, overhead);
    let parts: Vec<&[u8]> = value.as_bytes().chunks(each).collect();
    let count = parts.len();
    let chunk = |(index, part): (usize, &&[u8])| {
        let text = String::from_utf8_lossy(part);
        let value = if index == 0 { format!("{count}.{text}") } else { text.into_owned() };
        Chunk { number: index + 1, value }
    };
    parts.iter().enumerate().map(chunk).collect()
}

/// The session cookie as a request presents it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TokenCandidates<'h> {
    /// The different values of the name, put together where they were split.
    pub(crate) candidates: ArrayVec<Cow<'h, [u8]>, MAX_CANDIDATES>,
    /// The numbers of the chunks that came, whether or not they were of use.
    pub(crate) chunks: Vec<u8>,
}

/// What came under one chunk's name.
#[derive(Clone, Copy)]
enum Part<'h> {
    /// Only values of another form, which are not ours.
    Junk,
    One(&'h [u8]),
    /// Different values: no one can say which is ours.
    Torn,
}

impl<'h> TokenCandidates<'h> {
    /// The token of a request's one `Authorization: Bearer` header, in place of a cookie's value.
    pub(crate) fn bearer(mut headers: impl Iterator<Item = &'h [u8]>) -> Self {
        let mut presented = Self::default();
        if let (Some(header), None) = (headers.next(), headers.next())
            && let Some((scheme, token)) = header.split_at_checked("Bearer ".len())
            && scheme.eq_ignore_ascii_case(b"Bearer ")
        {
            presented.candidates.push(Cow::Borrowed(token.trim_ascii()));
        }
        presented
    }

    /// Returns the same without the request's headers.
    pub(crate) fn into_owned(self) -> TokenCandidates<'static> {
        let owned = |value: Cow<'_, [u8]>| Cow::Owned(value.into_owned());
        let candidates = self.candidates.into_iter().map(owned).collect();
        TokenCandidates { candidates, chunks: self.chunks }
    }

    /// One pass over the headers, bounded in time and memory by their length.
    pub(super) fn read(
        headers: impl Iterator<Item = &'h [u8]>,
        name: &str,
        form: ValueForm,
        most: u8,
    ) -> Self {
        // One more than is looked at, to tell a flood from a full house.
        let mut whole = ArrayVec::<&[u8], { MAX_CANDIDATES + 1 }>::new();
        let mut parts = Parts::default();
        for (candidate, value) in header::pairs(headers) {
            let Some(suffix) = candidate.strip_prefix(name.as_bytes()) else { continue };
            if suffix.is_empty() {
                // Full is a flood already.
                if !whole.is_full() && form.admits(value) && !whole.contains(&value) {
                    whole.push(value);
                }
            } else if let Some(number) = suffix.strip_prefix(b".").and_then(number) {
                parts.add(number, Some(value).filter(|value| form.admits_chunk(value)));
            }
        }
        if whole.len() > MAX_CANDIDATES {
            tracing::warn!("more than {MAX_CANDIDATES} different session cookies; taking none");
            whole.clear();
        }
        let candidates = whole.into_iter().filter_map(|value| assemble(value, &parts, most));
        Self { candidates: candidates.collect(), chunks: parts.numbers() }
    }
}

/// The chunks that came, by number; most requests have none.
#[derive(Default)]
struct Parts<'h>(Vec<(u8, Part<'h>)>);

impl<'h> Parts<'h> {
    /// Adds a chunk, whose value is `None` if it has another form than ours.
    fn add(&mut self, number: u8, value: Option<&'h [u8]>) {
        match self.0.iter_mut().find(|(known, _)| *known == number) {
            Some((_, part)) => *part = part.with(value),
            None => self.0.push((number, Part::Junk.with(value))),
        }
    }

    fn get(&self, number: u8) -> Option<&'h [u8]> {
        match self.0.iter().find(|(known, _)| *known == number)? {
            (_, Part::One(value)) => Some(value),
            (_, Part::Junk | Part::Torn) => None,
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
            (Self::Junk, Some(value)) => Self::One(value),
            (Self::One(same), Some(value)) if same == value => self,
            (Self::One(_) | Self::Torn, Some(_)) => Self::Torn,
        }
    }
}

/// A chunk's number or a count of chunks, 2 to 16, in the one way to write it.
fn number(digits: &[u8]) -> Option<u8> {
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let canonical = !digits.starts_with(b"0") && !digits.starts_with(b"+");
    (canonical && (2..=MAX_CHUNKS).contains(&number)).then_some(number)
}

/// Splits a count of chunks from a value that has one. It has two digits at the most.
fn split_count(value: &[u8]) -> Option<(&[u8], &[u8])> {
    let dot = value.iter().take(3).position(|byte| *byte == b'.')?;
    Some((&value[..dot], &value[dot + 1..]))
}

/// Returns the value behind its count of chunks, if it has one.
pub(super) fn without_count(value: &[u8]) -> &[u8] {
    split_count(value).map_or(value, |(_, first)| first)
}

fn assemble<'h>(value: &'h [u8], parts: &Parts<'h>, most: u8) -> Option<Cow<'h, [u8]>> {
    let Some((count, first)) = split_count(value) else { return Some(Cow::Borrowed(value)) };
    let count = number(count).filter(|count| *count <= most)?;
    let mut whole = first.to_vec();
    for number in 2..=count {
        whole.extend_from_slice(parts.get(number)?);
    }
    Some(Cow::Owned(whole))
}
