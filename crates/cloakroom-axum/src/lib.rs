//! cloakroom sessions for axum and every tower service.

mod back;
mod csrf;
mod extract;
mod future;
mod headers;
mod input;
mod layer;
mod rejection;
mod service;

pub use back::Back;
#[doc(no_inline)]
pub use cloakroom::*;
pub use csrf::{CsrfLayer, CsrfService};
pub use extract::{CookieName, NamedSession, ReadSession, Session, View};
pub use future::ResponseFuture;
pub use input::{Input, InputRejection};
pub use layer::SessionLayer;
pub use rejection::{SessionError, SessionRejection};
pub use service::SessionService;
