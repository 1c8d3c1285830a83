//! Moments as a visitor reads them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Returns a moment in relation to now: `in 119 minutes`, `5 seconds ago`.
pub(crate) fn from_now(millis: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let moment = Duration::from_millis(millis);
    let text = match moment.abs_diff(now).as_secs() {
        seconds @ 0..=119 => format!("{seconds} seconds"),
        seconds @ 120..=7_199 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3_600),
    };
    if moment > now { format!("in {text}") } else { format!("{text} ago") }
}
