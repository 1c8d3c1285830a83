//! Handles as people type them: whole, or their first characters.

use cloakroom::{
    SessionAdmin, SessionHandle, SessionInfo,
    clock::{Clock, SystemClock},
};

use super::{
    all,
    text::{ago, counted, printable},
};
use crate::failure::Failure;

/// The fewest characters that name a session, so that an empty variable in a script names none.
const MIN_PREFIX: usize = 4;
/// The characters that a shortened handle has at least.
const SHORT: usize = 8;
const ELLIPSIS: char = '…';
const MAX_CANDIDATES: usize = 5;

/// Returns the handle that `text` names: a whole handle, or its first characters, with an ellipsis if
/// they were copied from a list. Goes through all sessions unless the handle is whole.
///
/// # Errors
/// If the text names no session or several.
pub(super) async fn resolve(admin: &SessionAdmin, text: &str) -> Result<SessionHandle, Failure> {
    if let Ok(handle) = text.parse() {
        return Ok(handle);
    }
    let prefix = text.trim_end_matches(ELLIPSIS);
    if prefix.len() < MIN_PREFIX {
        return Err(Failure::unusable(format!(
            "`{}` is too short for a handle: its first {MIN_PREFIX} characters or more are accepted",
            printable(text)
        )));
    }
    let mut sessions = all(admin, None).await?;
    sessions.retain(|session| session.handle.to_string().starts_with(prefix));
    match &sessions[..] {
        [session] => Ok(session.handle),
        [] => Err(unknown(text)),
        several => Err(ambiguous(prefix, several)),
    }
}

/// Returns the error for a handle that names no live session.
pub(super) fn unknown(text: &str) -> Failure {
    let shown = printable(text.trim_end_matches(ELLIPSIS));
    let is_whole = text.parse::<SessionHandle>().is_ok();
    let begins = if is_whole { "" } else { "whose handle begins with " };
    Failure::failed(format!(
        "there is no live session {begins}`{shown}`; `cloakroom list` shows the handles"
    ))
}

fn ambiguous(prefix: &str, sessions: &[SessionInfo]) -> Failure {
    let now = SystemClock.now();
    let (shown, count) = (printable(prefix), counted(sessions.len(), "session"));
    let mut lines =
        vec![format!("`{shown}` is the beginning of {count}; add characters of one of them:")];
    lines.extend(sessions.iter().take(MAX_CANDIDATES).map(|session| {
        let owner = printable(session.owner.as_deref().unwrap_or("-"));
        format!("  {}  {owner}  {}", session.handle, ago(session.last_seen, now))
    }));
    if let more @ 1.. = sessions.len().saturating_sub(MAX_CANDIDATES) {
        lines.push(format!("  and {more} more"));
    }
    Failure::failed(lines.join("\n"))
}

/// Shortens handles to their first characters, as many as each needs to differ from the others.
pub(super) fn shortened(handles: &[String]) -> Vec<String> {
    let mut sorted: Vec<_> = handles.iter().enumerate().collect();
    sorted.sort_by_key(|(_, handle)| *handle);
    let mut lengths = vec![SHORT; handles.len()];
    // The handle that shares most with another is its neighbor in the sorted order.
    for pair in sorted.windows(2) {
        let &[(left, handle), (right, neighbor)] = pair else { continue };
        let shared = handle.bytes().zip(neighbor.bytes()).take_while(|(a, b)| a == b).count();
        for index in [left, right] {
            lengths[index] = lengths[index].max(shared + 1);
        }
    }
    let shorten = |(handle, length): (&String, usize)| match handle.get(..length) {
        Some(start) if length < handle.len() => format!("{start}{ELLIPSIS}"),
        _ => handle.clone(),
    };
    handles.iter().zip(lengths).map(shorten).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortened_handle_is_the_beginning_of_one_handle() {
        let short = |handles: &[&str]| {
            let handles: Vec<_> = handles.iter().copied().map(String::from).collect();
            shortened(&handles)
        };
        assert_eq!(
            short(&["k0000-9999-1", "k0000-9999-2", "o11111111111", "k0000-8888-1"]),
            ["k0000-9999-1", "k0000-9999-2", "o1111111…", "k0000-88…"]
        );
        assert_eq!(short(&["kabcdefgh11", "kabcdefgh22"]), ["kabcdefgh1…", "kabcdefgh2…"]);
        assert_eq!(short(&["short"]), ["short"]);
        assert!(short(&[]).is_empty());
    }
}
