//! The initializers, which add functions to the application when it starts.

mod session;
mod view;

pub use session::SessionInitializer;
pub(crate) use view::ViewInitializer;
