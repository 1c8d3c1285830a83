//! Extractors and responses for axum. The crate `cloakroom-axum` has the layers.

mod extract;
mod input;
mod response;

pub use extract::context_stack;
pub use response::{render, respond};
