//! Extractors and responses for actix-web. The crate `cloakroom-actix` has the middleware.

mod extract;
mod headers;
mod input;
mod require_owner;
mod response;

pub use extract::context_stack;
pub use require_owner::OwnerService;
pub use response::{render, respond};
