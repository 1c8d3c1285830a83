//! Leaves old input out of a record that is too large for where it goes.
//!
//! A visitor chooses how long a form is, so an invalid one must not fail with an error only because
//! it would not fit into the session. Messages and errors stay.

use std::sync::Arc;

use super::commit::Changes;
use crate::{error::Error, observe, record::Record};

/// Returns what `attempt` makes of the record. While that fails because the record is too large, the
/// largest fields of the input that `changes` flash are left out, and it is tried again.
///
/// # Errors
/// What `attempt` returns, when there is no input of these changes to leave out.
pub(super) fn fitting<T>(
    record: &mut Arc<Record>,
    changes: &Changes,
    attempt: impl Fn(&Record) -> Result<T, Error>,
) -> Result<T, Error> {
    let mut left_out = 0;
    loop {
        let error = match attempt(record) {
            Ok(done) => {
                if left_out > 0 {
                    observe::input_left_out(left_out);
                }
                return Ok(done);
            }
            Err(error) => error,
        };
        let (Some(excess), flashed) = (error.excess(), changes.flashed_input()) else {
            return Err(error);
        };
        if flashed.is_empty() {
            return Err(error);
        }
        let count = Arc::make_mut(record).flash.leave_input_out(&flashed, excess)?;
        if count == 0 {
            return Err(error);
        }
        left_out += count;
    }
}
