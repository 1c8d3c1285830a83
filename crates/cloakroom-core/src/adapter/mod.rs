//! One request's relation to the session system: what an adapter drives.
//!
//! An adapter is glue around four calls:
//! 1. [`ContextStack::begin`] when the request comes in, with its method, and the [`ContextStack`] into the
//!    request's extensions;
//! 2. [`RequestContext::session`] when a handler asks for the session;
//! 3. [`RequestContext::finish`] with the response's status, before its first byte; what it answers is
//!    [written](ResponseHeaders::write_to) into the response's headers;
//! 4. [`RequestContext::abandon`] instead, when the handler panicked.
//!
//! Forms are [captured](RequestContext::capture) and handed on as [`Input`];
//! what goes wrong is a [`AdapterError`], whose [`Problem`] knows its answer, and [`OnFailure`] when the
//! application makes another.

#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "axum")]
pub mod axum;
mod body;
mod context;
mod error;
mod input;
mod named_session;
mod nesting;
mod on_failure;
mod problem;
mod response_parts;
mod stack;
mod verify_request;

pub use body::BodyError;
pub use context::{Preload, RequestContext};
pub use error::AdapterError;
pub use input::{Input, JsonInput};
pub use named_session::{CookieName, NamedSession};
pub use on_failure::{GivenStatus, OnFailure, Replacement, headers_of_replaced};
pub use problem::Problem;
pub use response_parts::ResponseParts;
pub use stack::ContextStack;

pub use crate::{
    http::{
        headers::Headers,
        response_headers::{HeadersMut, ResponseHeaders},
    },
    session::commit_future::{CommitFuture, Uncommitted},
};
