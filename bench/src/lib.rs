//! The parts that the measured servers share. `cargo xtask bench peers` builds them and runs `compare`.
//!
//! Every server has the routes `/none` (no session), `/login` (stores a user name), `/read`
//! (returns it) and `/write` (increments a counter and returns it), and one worker thread.

pub mod axum_server;
pub mod options;
pub mod sessions;

/// A failure as one line for the terminal.
pub type Failure = String;
