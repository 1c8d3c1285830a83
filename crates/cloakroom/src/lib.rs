//! Sessions for Rust web applications.

pub mod clock;
pub mod random;
pub mod request;
pub mod store;
mod token;
