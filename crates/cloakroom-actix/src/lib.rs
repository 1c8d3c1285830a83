//! The session middleware of cloakroom for actix-web.
//!
//! Applications add the crate `cloakroom` with its feature `actix`, which re-exports this crate as
//! `cloakroom::actix`.
//!
//! ```no_run
//! # mod cloakroom { pub use cloakroom_core::*; pub mod actix { pub use cloakroom_actix::*; } }
//! use actix_web::{App, HttpServer, web};
//! use cloakroom::{AppKeys, Error, MemoryStore, Session, Sessions, actix::SessionMiddleware};
//!
//! async fn home(session: Session) -> Result<String, Error> {
//!     Ok(format!("visit number {}", session.increment("visits")?))
//! }
//!
//! # #[actix_web::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Once, outside of the closure that every worker calls.
//! let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build()?;
//! let app = move || {
//!     App::new()
//!         .route("/", web::get().to(home))
//!         .wrap(SessionMiddleware::new(sessions.clone()))
//! };
//! HttpServer::new(app).bind("127.0.0.1:3000")?.run().await?;
//! # Ok(()) }
//! ```
//!
//! - [`SessionMiddleware`] gives requests their sessions and commits them.
//! - [`CsrfMiddleware`] refuses forged requests.
//! - [`testing`] has a client for the tests of applications.
//!
//! Handlers take [`Session`](cloakroom_core::Session), [`View`](cloakroom_core::View),
//! [`ReadSession`](cloakroom_core::ReadSession), [`Input`](cloakroom_core::Input),
//! [`JsonInput`](cloakroom_core::JsonInput) and [`Back`](cloakroom_core::Back) as arguments.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod csrf_middleware;
mod failure;
mod handled_request;
mod session_middleware;
pub mod testing;

pub use csrf_middleware::{CsrfMiddleware, CsrfService};
pub use session_middleware::{SessionMiddleware, SessionService};
