//! The probe servers and the HTTP scenarios that every framework and driver must pass.
//!
//! Test equipment: never published, bound to loopback only. The contract of the probe servers is
//! fixed, so that any black-box client can drive every framework and driver alike:
//! [`probe::script`] has the steps, [`probe::axum`] the routes.

pub mod client;
pub mod history;
pub mod jar;
pub mod probe;
pub mod proxy;
pub mod redis;
pub mod running;
pub mod server;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
