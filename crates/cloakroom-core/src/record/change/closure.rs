//! Runs closures that `update` and `edit` were given.
//!
//! A closure may run in the middle of a commit, on the record of another request. So it must not
//! change the session itself: that is refused, on whichever thread the closure runs.

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

/// Puts back what was running before, also after a panic.
struct Restore(Running);

impl Drop for Restore {
    fn drop(&mut self) {
        RUNNING.set(self.0);
    }
}

/// Runs a closure of the application.
///
/// # Errors
/// When it tried to change a session.
pub(crate) fn run<T>(closure: impl FnOnce() -> T) -> Result<T, Error> {
    let _restore = Restore(RUNNING.replace(Running::Yes));
    let result = closure();
    if RUNNING.get() == Running::Refused { Err(Kind::InsideClosure.into()) } else { Ok(result) }
}

/// Fails inside a closure, where no session can be changed.
pub(crate) fn refuse_change() -> Result<(), Error> {
    if RUNNING.get() == Running::No {
        return Ok(());
    }
    RUNNING.set(Running::Refused);
    Err(Kind::InsideClosure.into())
}
