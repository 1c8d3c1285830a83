//! CSRF protection, and the view helpers for template engines.

pub mod csrf;
#[cfg(feature = "minijinja")]
pub mod minijinja;
#[cfg(feature = "tera")]
pub mod tera;
