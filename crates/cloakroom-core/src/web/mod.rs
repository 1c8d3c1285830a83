//! CSRF protection, names of devices, and the view helpers for template engines.

pub mod csrf;
pub(crate) mod device;
#[cfg(feature = "minijinja")]
pub mod minijinja;
#[cfg(feature = "tera")]
pub mod tera;
