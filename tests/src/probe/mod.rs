//! The probe: an application that does what a request's `X-Script` header says.

use std::time::Duration;

pub mod actix;
pub mod axum;
pub mod command;
pub mod script;

/// How recent the sign-in has to be for the route `/fresh`.
const FRESH: Duration = Duration::from_hours(1);
