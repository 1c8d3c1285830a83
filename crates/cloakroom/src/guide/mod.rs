//! The guide: what to do, page by page. What each function does is said where it is defined.
//!
//! | page | what it is about |
//! |---|---|
//! | [`start`] | from an empty project to a session; a request's life; settings |
//! | [`forms`] | validate and redirect, old input, errors, templates, flash |
//! | [`errors`] | errors in handlers, your own error type, anyhow and eyre, what clients get |
//! | [`drivers`] | cookie, memory, file, redis: how to choose, how to move, the `cloakroom` command |
//! | [`security`] | threats, defaults and their reasons, what the application has to do |
//! | [`concurrency`] | requests at the same time, background tasks, streams, explicit commits |
//! | [`deployment`] | proxies, several instances, keys, Redis, files, what to watch |
//! | [`testing`] | a visitor in process, time that obeys, sessions for functions |
//! | [`stores`] | a store of your own |
//! | [`coming_from`] | AdonisJS, Laravel, tower-sessions, actix-session: their calls and ours |
//!
//! Larger examples, each with its tests, are in the folder `examples` of the repository:
//! `cargo run -p ways -- NAME`.

#[doc = include_str!("coming_from.md")]
pub mod coming_from {}
#[doc = include_str!("concurrency.md")]
pub mod concurrency {}
#[doc = include_str!("deployment.md")]
pub mod deployment {}
#[doc = include_str!("drivers.md")]
pub mod drivers {}
#[doc = include_str!("errors.md")]
pub mod errors {}
#[doc = include_str!("forms.md")]
pub mod forms {}
#[doc = include_str!("security.md")]
pub mod security {}
#[doc = include_str!("start.md")]
pub mod start {}
#[doc = include_str!("stores.md")]
pub mod stores {}
#[doc = include_str!("testing.md")]
pub mod testing {}
