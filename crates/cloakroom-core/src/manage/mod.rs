//! Sessions that are managed from outside of their own requests.

pub(crate) mod admin;
pub(crate) mod editor;
pub(crate) mod info;
pub(crate) mod owner_sessions;
mod shared;
