//! Sessions for Rust web applications.

mod change;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
pub mod cookie;
pub mod csrf;
mod driver;
mod error;
mod flash;
pub mod form;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod key;
mod lifetimes;
mod memory;
#[cfg(feature = "minijinja")]
pub mod minijinja;
mod number;
pub mod random;
mod record;
pub mod redirect;
pub mod request;
mod seal;
mod session;
mod sessions;
#[cfg(feature = "config")]
pub mod settings;
pub mod store;
pub mod testing;
mod token;
mod typed_key;
mod values;
mod view;
mod visit;

pub use async_trait::async_trait;
pub use error::Error;
pub use key::{AppKeys, KeyError};
pub use memory::MemoryStore;
pub use number::Numeric;
pub use session::{Deadlines, ReadSession, Session};
pub use sessions::{DEFAULT_AGE, ServerErrors, Sessions, SessionsBuilder};
pub use typed_key::{Key, TypedKey};
pub use view::View;
pub use visit::{ResponseHeaders, Visit};
