//! cloakroom sessions for axum, and for every tower service.
//!
//! ```no_run
//! use axum::{Router, response::Redirect, routing::get};
//! use cloakroom_axum::{Session, SessionError, SessionLayer, settings::Settings};
//!
//! async fn home(session: Session) -> Result<Redirect, SessionError> {
//!     session.put("username", "virk")?;
//!     Ok(Redirect::to("/username"))
//! }
//!
//! async fn username(session: Session) -> Result<String, SessionError> {
//!     Ok(session.get_or("username", "nobody".to_owned())?)
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let sessions = Settings::load_for_development(None)?.sessions()?;
//! let app = Router::new()
//!     .route("/", get(home))
//!     .route("/username", get(username))
//!     .layer(SessionLayer::new(sessions));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
//! axum::serve(listener, app).await?;
//! # Ok(()) }
//! ```
//!
//! - [`SessionLayer`] gives requests their sessions and commits them.
//! - Handlers ask for [`Session`], [`View`], [`ReadSession`], [`Input`] and [`Back`].
//! - [`CsrfLayer`] refuses forged requests.
//! - [`testing`] has a visitor for the tests of applications.
//! - What sessions can do is told in [`cloakroom`]; its paved path is exported from here as well.
//! - [The guide](cloakroom::guide) says what to do, page by page: forms, sign-in, drivers, deployment.

mod back;
mod csrf_layer;
mod extract;
mod failure;
mod future;
mod headers;
mod input;
mod layer;
mod rejection;
mod service;
pub mod testing;

pub use back::Back;
#[cfg(unix)]
pub use cloakroom::FileStore;
#[cfg(feature = "minijinja")]
pub use cloakroom::minijinja;
#[cfg(feature = "config")]
pub use cloakroom::settings;
#[cfg(feature = "tera")]
pub use cloakroom::tera;
pub use cloakroom::{
    self, AppKeys, CookieName, Error, Key, MemoryStore, NotBefore, ServerErrors, SessionDirectory,
    SessionInfo, Sessions, TypedKey, clock, cookie, csrf, form,
    visit::{Failure, Problem},
};
pub use csrf_layer::{CsrfLayer, CsrfService};
pub use extract::{NamedSession, ReadSession, Session, View};
pub use future::ResponseFuture;
pub use input::Input;
pub use layer::SessionLayer;
pub use rejection::{InputRejection, SessionError, SessionRejection};
pub use service::SessionService;
