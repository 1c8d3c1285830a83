//! The probe: an application that does what a request's `X-Script` header says.

pub mod actix;
pub mod axum;
pub mod command;
pub mod script;
