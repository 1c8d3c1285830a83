//! Sessions for Rust web applications.
