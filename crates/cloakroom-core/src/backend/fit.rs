//! Removes the previous URL, then old input, and then errors, from a record that is too large to be stored.
//!
//! A visitor decides on the length of a URL, on the size of a form and on the number of its errors. So a page
//! or an invalid form must not become a server error only because it does not fit into the session. Messages
//! stay.

use std::sync::Arc;

use crate::backend::commit::Changes;
use crate::{
    error::Error,
    observe,
    record::{Record, flash::LeftOut},
};

/// Runs `attempt` with the record and returns its result. While it fails because the record is too
/// large, removes one after the other, and tries again: the previous URL, the largest input fields that
/// `changes` flash, and the longest errors that they flash.
///
/// # Errors
/// The error of `attempt`, when there is nothing more to remove.
pub(super) fn fitting<T>(
    record: &mut Arc<Record>,
    changes: &Changes,
    attempt: impl Fn(&Record) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut left_out = LeftOut::default();
    loop {
        let error = match attempt(record) {
            Ok(result) => {
                observe::left_out(left_out.input, left_out.errors);
                return Ok(result);
            }
            Err(error) => error,
        };
        let Some(excess) = error.excess() else { return Err(error) };
        if Arc::make_mut(record).forget_previous_url() {
            continue;
        }
        let flashed = changes.flashed();
        if flashed.is_empty() {
            return Err(error);
        }
        let more = Arc::make_mut(record).flash.leave_out(&flashed, excess)?;
        if more == LeftOut::default() {
            return Err(error);
        }
        left_out += more;
    }
}
