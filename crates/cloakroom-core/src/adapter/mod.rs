//! The interface between the engine and a web framework.
//!
//! Applications use the adapters for axum and actix-web. This page is for an adapter of your own.
//!
//! # The calls of one request, in order
//! 1. When the request comes in, [`ContextStack::begin`] starts its context. The adapter passes the
//!    stack that an outer layer has put into the request's extensions, and puts the new one there. If
//!    `begin` returns no context to finish, an outer layer handles the same cookie. The adapter then
//!    runs the handler, and that layer does steps 3 and 4.
//! 2. When a handler asks for the session, [`RequestContext::session`] loads it from the request's
//!    [`Headers`]. A second call returns the same session.
//! 3. When the handler has returned its response, [`RequestContext::finish`] commits the session. It
//!    takes the status of the response. The adapter [writes](ResponseHeaders::write_to) the headers that
//!    it returns before the first byte is sent. If the commit fails ([`Uncommitted`]), the response must
//!    not be sent. The adapter sends the response to [`AdapterError::NotCommitted`] instead, with the
//!    headers of the error.
//! 4. If the handler panics, [`RequestContext::abandon`] takes the place of step 3. If the headers that
//!    it returns set a cookie, the adapter sends them with the response to [`AdapterError::Panicked`].
//!    Otherwise the panic goes on.
//! 5. If the library fails, the adapter makes a [`Problem`] of the [`AdapterError`] and the format that
//!    the client wants. It makes the response from [`Problem::to_response`], and puts the problem into
//!    the extensions of the response.
//! 6. Before the response leaves the session layer, [`OnFailure::replace`] logs the problem with the
//!    [`RequestLine`], and lets the application's handler replace the response. If it is replaced,
//!    [`RequestContext::finish_replaced`] takes the place of `finish`. An adapter without such handlers
//!    calls `replace` on `OnFailure::default()`.
//!
//! An extractor of forms stores a parsed [`FormInput`](crate::form::FormInput) with
//! [`RequestContext::capture`], and makes an [`Input`](crate::Input) from it. A CSRF layer runs
//! [`CsrfPolicy::verify_request`](crate::csrf::CsrfPolicy::verify_request) inside the session layer.
//!
//! # Example
//! A middleware for plain tower services, on the crate `http` (feature `http`):
//!
#![cfg_attr(feature = "http", doc = "```")]
#![cfg_attr(not(feature = "http"), doc = "```text")]
#![doc = include_str!("../../examples/tower_adapter.rs")]
//! ```

#[cfg(feature = "actix")]
pub mod actix;
#[cfg(feature = "axum")]
pub mod axum;
mod body;
mod context;
mod error;
#[cfg(feature = "http")]
mod http_headers;
pub(crate) mod input;
pub(crate) mod named_session;
mod nesting;
mod on_failure;
mod problem;
mod response_parts;
mod stack;
mod verify_request;

pub use body::BodyError;
pub use context::{Preload, RequestContext};
pub use error::AdapterError;
pub use on_failure::{GivenStatus, OnFailure, Replacement, headers_of_replaced};
pub use problem::Problem;
pub use response_parts::ResponseParts;
pub use stack::ContextStack;

pub use crate::{
    http::{
        headers::Headers,
        request_line::RequestLine,
        response_headers::{HeadersMut, ResponseHeaders},
    },
    session::commit_future::{CommitFuture, Uncommitted},
};
