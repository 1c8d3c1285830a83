//! What pages and forms need beside the session: protection against forged requests, and the view
//! helpers for template engines.

pub mod csrf;
#[cfg(feature = "minijinja")]
pub mod minijinja;
#[cfg(feature = "tera")]
pub mod tera;
