//! cloakroom sessions for actix-web.
//!
//! ```no_run
//! use actix_web::{App, HttpServer, Responder, web};
//! use cloakroom_actix::{Session, SessionError, SessionMiddleware, settings::Settings};
//!
//! async fn home(session: Session) -> Result<impl Responder, SessionError> {
//!     session.put("username", "virk")?;
//!     Ok(web::Redirect::to("/username").see_other())
//! }
//!
//! async fn username(session: Session) -> Result<String, SessionError> {
//!     Ok(session.get_or("username", "nobody".to_owned())?)
//! }
//!
//! #[actix_web::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let sessions = Settings::load_for_development(None)?.sessions()?;
//!     let app = move || {
//!         App::new()
//!             .route("/", web::get().to(home))
//!             .route("/username", web::get().to(username))
//!             .wrap(SessionMiddleware::new(sessions.clone()))
//!     };
//!     Ok(HttpServer::new(app).bind("127.0.0.1:3000")?.run().await?)
//! }
//! ```
//!
//! - [`SessionMiddleware`] gives requests their sessions and commits them. Make [`Sessions`] once,
//!   outside the closure that every worker calls, and give each worker a clone.
//! - Handlers ask for [`Session`], [`View`], [`ReadSession`], [`Input`] and [`Back`].
//! - [`CsrfMiddleware`] refuses forged requests.
//! - [`testing`] has a visitor for the tests of applications.
//! - What sessions can do is told in [`cloakroom`]; its paved path is exported from here as well.
//! - [The guide](cloakroom::guide) says what to do, page by page: forms, sign-in, drivers, deployment.

mod back;
mod csrf_middleware;
mod extract;
mod failure;
mod headers;
mod input;
mod rejection;
mod session_middleware;
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
pub use csrf_middleware::{CsrfMiddleware, CsrfService};
pub use extract::{NamedSession, ReadSession, Session, View};
pub use input::Input;
pub use rejection::{InputRejection, SessionError, SessionRejection};
pub use session_middleware::{SessionMiddleware, SessionService};
