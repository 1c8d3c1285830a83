//! The pause between two attempts to connect.

use std::time::Duration;

/// The longest pause after the first failure. It doubles with each further failure.
const MIN_PAUSE: Duration = Duration::from_millis(50);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Returns the pause after a failed attempt that followed `failed_in_a_row` others. It is random, so that
/// many applications do not connect at the same moment when a server comes back.
pub(crate) fn pause_after(failed_in_a_row: u32) -> Duration {
    random_part(MAX_PAUSE.min(MIN_PAUSE * 2_u32.pow(failed_in_a_row.min(5))))
}

/// Returns a random time between half of `span` and all of it.
fn random_part(span: Duration) -> Duration {
    let random = getrandom::u32().unwrap_or_default();
    span / 2 + (span / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
}
