//! The interface between the engine and a web framework.
//!
//! Applications use the adapters for axum and actix-web. This page is for an adapter of your own.
//!
//! # The calls of one request, in order
//! 1. When the request comes in, [`ContextStack::begin`] starts its context. The adapter passes the
//!    stack that an outer layer has put into the request's extensions, and puts the new one there. If
//!    an outer layer handles the same cookie, the commits of steps 3 and 4 do nothing.
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
//! 5. A failure of the library is an [`AdapterError`], and with the format that the client wants a
//!    [`Problem`]. The adapter makes the response from [`Problem::to_response`], and puts the problem into
//!    the extensions of the response. On the way out [`OnFailure::replace`] logs it with the
//!    [`RequestLine`], and lets the application's handler replace the response. An adapter without such
//!    handlers calls it on `OnFailure::default()`.
//!
//! An extractor of forms [reads](RequestContext::read_form) the form and makes [`Input`](crate::Input) of
//! it. A layer against forged
//! requests runs [`CsrfPolicy::verify_request`](crate::csrf::CsrfPolicy::verify_request) inside the session
//! layer.
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
mod device_requests;
mod end;
mod error;
#[cfg(feature = "http")]
mod http_headers;
pub(crate) mod input;
pub(crate) mod named_session;
mod nesting;
mod on_failure;
mod page;
mod problem;
pub(crate) mod require_owner;
mod response_parts;
mod stack;
mod verify_request;

pub use body::BodyError;
pub use context::RequestContext;
pub use device_requests::Ahead;
pub use end::CommitFuture;
pub use error::AdapterError;
pub use on_failure::{OnFailure, Replacement, headers_of_replaced};
pub use problem::Problem;
pub use require_owner::{Reason, RequestHead, SignInRequired};
pub use response_parts::ResponseParts;
pub use stack::ContextStack;

pub use crate::{
    http::{
        headers::{Headers, is_header_name},
        request_line::RequestLine,
        response_headers::{HeadersMut, ResponseHeaders},
    },
    session::uncommitted::Uncommitted,
};
