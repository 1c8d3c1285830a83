//! The probe servers, the HTTP scenarios that every framework and driver must pass, and the fixtures
//! of all tests of sessions.
//!
//! Test equipment: never published, bound to loopback only. The contract of the probe servers is
//! fixed, so that any black-box client can drive every framework and driver alike:
//! [`probe::script`] has the steps, [`probe::axum`] the routes.
//!
//! | a test needs | it takes |
//! |---|---|
//! | a server with framework, driver and clock | [`server::Server`] |
//! | a browser that speaks HTTP | [`browser::Browser`], which runs [`step::Step`]s |
//! | an application without HTTP | [`local::LocalApp`] and its [`local::LocalBrowser`]s |
//! | a store that notes calls, fails or waits | [`store::TestStore`] with [`store::Hooks`] |
//! | a database server | [`databases::PostgresServer`], [`databases::MariaDbServer`], [`databases::PgBouncer`] |
//! | the log | [`log::Log`] |
//! | a memcached server | [`memcached::MemcachedServer`] |

pub mod browser;
pub mod databases;
pub mod history;
pub mod jar;
pub mod local;
pub mod log;
pub mod memcached;
pub mod probe;
pub mod proxy;
pub mod redis;
pub mod resend;
pub mod running;
pub mod server;
pub mod step;
pub mod store;

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
