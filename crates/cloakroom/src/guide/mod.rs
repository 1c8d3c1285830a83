//! The guide: how to use cloakroom, one topic per page. The reference documentation of each type and
//! function is on its own page.
//!
//! | page | topic |
//! |---|---|
//! | [`start`] | from an empty project to a session; a request's life; settings |
//! | [`forms`] | validation and redirects, old input, errors, templates, flash messages |
//! | [`errors`] | errors in handlers, your own error type, anyhow and eyre, the log, the responses to clients |
//! | [`drivers`] | cookie, memory, file, Redis, SQL databases: how to choose and how to move; the `cloakroom` command |
//! | [`security`] | threats, defaults and their reasons, your part; sign-in and sign-out |
//! | [`devices`] | sessions that are bound to the device that signs in: what it protects from, how to roll it out |
//! | [`frameworks`] | Loco, Leptos, Dioxus, htmx, single-page applications: what to add, and the traps |
//! | [`concurrency`] | requests at the same time, background tasks, streams, explicit commits |
//! | [`deployment`] | proxies, several instances, keys, Redis, files, monitoring |
//! | [`testing`] | a test client, a fake clock, sessions for unit tests |
//! | [`stores`] | a store of your own |
//! | [`coming_from`] | the calls of AdonisJS, Laravel, the session crates for axum and actix-web, Rails, Django, Express, scs and Phoenix, and their counterparts |
//!
//! The folder `examples` of the repository has larger programs with tests. `cargo run -p cloakroom-examples --example NAME`
//! runs one of them.

// A picture is HTML within Markdown. It needs an empty line before and after it. The style lets long
// names of tests break, so that they leave room for the other columns.

#[doc = include_str!("coming_from.md")]
pub mod coming_from {}
#[doc = include_str!("concurrency.md")]
///
#[doc = include_str!("pictures/login-race.svg")]
///
#[doc = include_str!("concurrency_commits.md")]
///
#[doc = include_str!("pictures/merge.svg")]
///
#[doc = include_str!("concurrency_changes.md")]
pub mod concurrency {}
#[doc = include_str!("deployment.md")]
pub mod deployment {}
#[doc = include_str!("devices.md")]
pub mod devices {}
#[doc = include_str!("drivers.md")]
pub mod drivers {}
#[doc = include_str!("errors.md")]
pub mod errors {}
#[doc = include_str!("forms.md")]
pub mod forms {}
#[doc = include_str!("frameworks.md")]
pub mod frameworks {}
#[doc = include_str!("security.md")]
///
/// <style>.docblock td:last-child code { overflow-wrap: anywhere; white-space: normal }</style>
pub mod security {}
#[doc = include_str!("start.md")]
///
#[doc = include_str!("pictures/request.svg")]
///
#[doc = include_str!("start_request.md")]
pub mod start {}
#[doc = include_str!("stores.md")]
pub mod stores {}
#[doc = include_str!("testing.md")]
pub mod testing {}
