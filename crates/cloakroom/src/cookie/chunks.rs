//! A value that is too long for one cookie, over several.
//!
//! One cookie: `NAME=value`. Several, here three: `NAME=3.first`, `NAME.2=second`, `NAME.3=third`.
//! No value has a dot of its own, so the count cannot be mistaken. Reading is all or nothing: the
//! parts are put together exactly as counted, and what does not open then is nothing.

use std::borrow::Cow;

use super::{header, settings::MOST_CHUNKS};

/// What every browser keeps of a cookie: name, value and attributes together (RFC 6265bis, 5.6
/// counts name and value alone; some browsers count all).
const LARGEST_COOKIE: usize = 4096;

/// How many different values of one name are looked at. A visitor's browser sends one, or two where
/// a neighbour tossed one in; more is an attack.
const MOST_CANDIDATES: usize = 4;

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

/// Splits `value` over as few cookies as it takes. `overhead` is the length of a cookie's attributes.
pub(super) fn split(
    value: &str,
    name: &str,
    overhead: usize,
    most: u8,
) -> Result<Vec<Chunk>, TooLarge> {
    let room =
        |extra: usize| LARGEST_COOKIE.saturating_sub(name.len() + "=".len() + extra + overhead);
    if value.len() <= room(0) {
        return Ok(vec![Chunk { number: 1, value: value.to_owned() }]);
    }
    // A chunk's name or value has a number and a dot more; all are given the longest, "16.".
    let each = room("16.".len());
    let limit = if most > 1 { each * usize::from(most) } else { room(0) };
    if value.len() > limit {
        return Err(TooLarge { size: value.len(), limit });
    }
    let parts: Vec<&[u8]> = value.as_bytes().chunks(each).collect();
    let count = parts.len();
    let chunk = |(index, part): (usize, &&[u8])| {
        let text = String::from_utf8_lossy(part);
        let value = if index == 0 { format!("{count}.{text}") } else { text.into_owned() };
        Chunk { number: index + 1, value }
    };
    Ok(parts.iter().enumerate().map(chunk).collect())
}

/// The session cookie as a request presents it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Presented<'h> {
    /// The different values of the name, put together where they were split.
    pub(crate) candidates: Vec<Cow<'h, [u8]>>,
    /// The numbers of the chunks that came, whether or not they were of use.
    pub(crate) chunks: Vec<u8>,
}

/// What came under one chunk's name.
#[derive(Clone, Copy)]
enum Part<'h> {
    Missing,
    One(&'h [u8]),
    /// Different values: no one can say which is ours.
    Torn,
}

impl<'h> Presented<'h> {
    /// One pass over the headers, bounded in time and memory by their length.
    pub(super) fn read(headers: impl Iterator<Item = &'h [u8]>, name: &str, most: u8) -> Self {
        let mut whole: Vec<&[u8]> = Vec::new();
        let mut parts = [Part::Missing; MOST_CHUNKS as usize + 1];
        for (candidate, value) in header::pairs(headers) {
            let Some(suffix) = candidate.strip_prefix(name.as_bytes()) else { continue };
            if suffix.is_empty() {
                if !whole.contains(&value) && whole.len() <= MOST_CANDIDATES {
                    whole.push(value);
                }
            } else if let Some(number) = suffix.strip_prefix(b".").and_then(number) {
                let part = &mut parts[usize::from(number)];
                *part = part.with(value);
            }
        }
        if whole.len() > MOST_CANDIDATES {
            tracing::warn!("more than {MOST_CANDIDATES} different session cookies; taking none");
            whole.clear();
        }
        let candidates =
            whole.into_iter().filter_map(|value| assemble(value, &parts, most)).collect();
        let came = |number: &u8| !matches!(parts[usize::from(*number)], Part::Missing);
        Self { candidates, chunks: (2..=MOST_CHUNKS).filter(came).collect() }
    }
}

impl<'h> Part<'h> {
    fn with(self, value: &'h [u8]) -> Self {
        match self {
            Self::Missing => Self::One(value),
            Self::One(same) if same == value => self,
            Self::One(_) | Self::Torn => Self::Torn,
        }
    }
}

/// A chunk's number or a count of chunks, 2 to 16, in the one way to write it.
fn number(digits: &[u8]) -> Option<u8> {
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let canonical = !digits.starts_with(b"0") && !digits.starts_with(b"+");
    (canonical && (2..=MOST_CHUNKS).contains(&number)).then_some(number)
}

fn assemble<'h>(value: &'h [u8], parts: &[Part<'h>], most: u8) -> Option<Cow<'h, [u8]>> {
    let Some(dot) = value.iter().position(|byte| *byte == b'.') else {
        return Some(Cow::Borrowed(value));
    };
    let count = number(&value[..dot]).filter(|count| *count <= most)?;
    let mut whole = value[dot + 1..].to_vec();
    for part in &parts[2..=usize::from(count)] {
        let Part::One(part) = part else { return None };
        whole.extend_from_slice(part);
    }
    Some(Cow::Owned(whole))
}
