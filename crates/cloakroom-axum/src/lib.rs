//! The session layers of cloakroom for axum and every other tower service.
//!
//! Applications add the crate `cloakroom` with its feature `axum`, which re-exports this crate as
//! `cloakroom::axum`.
//!
//! ```no_run
//! # mod cloakroom { pub use cloakroom_core::*; pub mod axum { pub use cloakroom_axum::*; } }
//! use axum::{Router, routing::get};
//! use cloakroom::{AppKeys, Error, MemoryStore, Session, Sessions, axum::SessionLayer};
//!
//! async fn home(session: Session) -> Result<String, Error> {
//!     Ok(format!("visit number {}", session.increment("visits")?))
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
//! let app = Router::new().route("/", get(home)).layer(SessionLayer::new(sessions));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).await?;
//! # Ok(()) }
//! ```
//!
//! - [`SessionLayer`] gives requests their sessions and commits them.
//! - [`CsrfLayer`] refuses forged requests.
//! - [`testing`] has a client for the tests of applications.
//!
//! Handlers take [`Session`](cloakroom_core::Session), [`View`](cloakroom_core::View),
//! [`ReadSession`](cloakroom_core::ReadSession), [`Input`](cloakroom_core::Input),
//! [`JsonInput`](cloakroom_core::JsonInput) and [`Back`](cloakroom_core::Back) as arguments.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod csrf_layer;
mod failure;
mod future;
mod handled_request;
mod layer;
mod service;
pub mod testing;

pub use csrf_layer::{CsrfLayer, CsrfService};
pub use future::ResponseFuture;
pub use layer::SessionLayer;
pub use service::SessionService;
