//! Extractors and responses for axum. The crate `cloakroom-axum` has the layers.

mod extract;
mod input;
mod require_owner;
mod response;

pub use extract::{SessionExtension, context_stack};
pub use require_owner::OwnerService;
pub use response::{render, respond};
