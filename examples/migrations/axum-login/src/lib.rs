//! A sign-in that moves from axum-login, axum-messages and tower-sessions to cloakroom. A diff of
//! [`before`] and [`after`] shows what changes, and [`takeover`] keeps the users signed in.
//!
//! The sign-in page shows the error and the name after a failed attempt. A user who opens a page without
//! being signed in gets back to that page. A changed password ends the user's sessions.

pub mod accounts;
pub mod after;
pub mod before;
mod page;
pub mod takeover;
