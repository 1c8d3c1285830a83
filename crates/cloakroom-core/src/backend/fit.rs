//! Leaves old input, and then errors, out of a record that is too large for where it goes.
//!
//! A visitor chooses how long a form is and how much is wrong in it, so an invalid one must not fail
//! with an error only because it would not fit into the session. Messages stay.

use std::sync::Arc;

use crate::backend::commit::Changes;
use crate::{
    error::Error,
    observe,
    record::{Record, flash::LeftOut},
};

/// Returns what `attempt` makes of the record. While that fails because the record is too large, the
/// largest fields of the input that `changes` flash are left out, then those of the errors, and it is
/// tried again.
///
/// # Errors
/// What `attempt` returns, when these changes have nothing to leave out.
pub(super) fn fitting<T>(
    record: &mut Arc<Record>,
    changes: &Changes,
    attempt: impl Fn(&Record) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut left_out = LeftOut::default();
    loop {
        let error = match attempt(record) {
            Ok(done) => {
                observe::left_out(left_out.input, left_out.errors);
                return Ok(done);
            }
            Err(error) => error,
        };
        let (Some(excess), flashed) = (error.excess(), changes.flashed()) else {
            return Err(error);
        };
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
