//! Runs the application's closures for `update` and `edit`.
//!
//! A closure may run in the middle of a commit, on the record of another request. Changes that it
//! makes to a session itself are refused on the thread that runs it.

use std::cell::Cell;

use crate::error::{Error, Kind};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Running {
    No,
    Yes,
    /// The closure has tried to change a session.
    Refused,
}

thread_local! {
    static RUNNING: Cell<Running> = const { Cell::new(Running::No) };
}

/// Restores the state before the closure, also after a panic.
struct Restore(Running);

impl Drop for Restore {
    fn drop(&mut self) {
        RUNNING.set(self.0);
    }
}

/// Runs a closure of the application.
///
/// # Errors
/// When the closure tried to change a session.
pub(crate) fn run<T>(closure: impl FnOnce() -> T) -> Result<T, Error> {
    let _restore = Restore(RUNNING.replace(Running::Yes));
    let result = closure();
    if RUNNING.get() == Running::Refused { Err(Kind::InsideClosure.into()) } else { Ok(result) }
}

/// Refuses a change of a session.
///
/// # Errors
/// When a closure runs on this thread.
pub(crate) fn refuse_change() -> Result<(), Error> {
    if RUNNING.get() == Running::No {
        return Ok(());
    }
    RUNNING.set(Running::Refused);
    Err(Kind::InsideClosure.into())
}
