//! A page with messages that moves from axum-messages, on tower-sessions, to cloakroom. A diff of
//! [`before`] and [`after`] shows what changes.

pub mod after;
pub mod before;
