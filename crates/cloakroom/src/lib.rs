//! Sessions for Rust web applications: hand in values, get a ticket (a cookie), find them again at
//! the next request.
//!
//! This is the core, without a web framework. Applications take an adapter, such as
//! `cloakroom-axum`, and meet this crate through the [`Session`] that their handlers get:
//!
//! ```
//! # let session = cloakroom::testing::session();
//! session.put("username", "virk")?;                    // anything that serde can serialize
//! session.increment("visits")?;                        // concurrent increments add up
//! session.put("preferences.theme", "dark")?;           // dots descend into objects
//! session.flash(serde_json::json!({ "notice": "Saved" }))?; // shown on the next page, once
//! session.regenerate()?;                               // a new token, when signing in
//! # Ok::<(), cloakroom::Error>(())
//! ```
//!
//! - [`guide`]: what to do, page by page. Begin with [`guide::start`].
//! - [`Session`]: values, flash, token. Changes are committed once, when the request ends;
//!   [`guide::concurrency`] says what comes of changes that concurrent requests make.
//! - [`View`]: old input, errors, messages and the CSRF field, for templates.
//! - [`SessionDirectory`]: who is signed in where, and signing out there.
//! - [`Sessions`] and, with the feature `config`, `settings`: the session system and its settings.
//! - [`MemoryStore`], [`FileStore`], and `RedisStore` in the crate `cloakroom-redis`: where records
//!   live unless they travel in the cookie.
//! - [`store`]: the contract of server-side drivers, and how to write one.
//! - [`form`], [`csrf`], [`redirect`]: what posted forms need.
//! - [`observe`]: spans, events and metrics.
//! - [`visit`]: the seam for adapters of other frameworks.
//!
//! # Features
//! | feature | what it adds |
//! |---|---|
//! | `config` (default) | settings from `config/session.toml` and the environment |
//! | `minijinja` | the view helpers as MiniJinja functions |
//! | `tera` | the view helpers as Tera functions |
//! | `validator`, `garde` | [`Session::with_errors`] takes what these find wrong |
//! | `metrics` | counters and histograms through the `metrics` facade |
//! | `conformance` | the test suite for stores |

mod app_tag;
mod backend;
mod change;
pub mod clock;
#[cfg(feature = "conformance")]
pub mod conformance;
mod context;
pub mod cookie;
pub mod csrf;
mod directory;
mod edit;
mod error;
mod field;
#[cfg(unix)]
pub mod file;
mod flash;
pub mod form;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
pub mod guide;
mod inventory;
mod key;
mod lifetimes;
mod memory;
#[cfg(feature = "minijinja")]
pub mod minijinja;
mod not_before;
mod number;
pub mod observe;
mod owner;
pub mod random;
mod reach;
mod record;
pub mod redirect;
pub mod request;
mod seal;
mod session;
mod sessions;
#[cfg(feature = "config")]
pub mod settings;
pub mod store;
mod surplus;
mod sweep;
#[cfg(feature = "tera")]
pub mod tera;
pub mod testing;
mod token;
mod typed_key;
mod values;
mod view;
pub mod visit;

pub use async_trait::async_trait;
pub use directory::{SessionDirectory, SessionInfo, SessionPage};
pub use edit::SessionEditor;
pub use error::Error;
#[cfg(unix)]
pub use file::FileStore;
pub use inventory::{Inventory, InventoryPage, SessionContents, SessionSummary};
pub use key::{AppKeys, KeyError};
pub use memory::MemoryStore;
pub use not_before::NotBefore;
pub use number::Numeric;
pub use session::{Deadlines, ReadSession, Session};
pub use sessions::{DEFAULT_AGE, ServerErrors, Sessions, SessionsBuilder};
pub use sweep::SweepBudget;
pub use typed_key::{AsKey, Key, KeyOf, TypedKey};
pub use view::View;
pub use visit::{CookieName, Ending, ResponseHeaders, Uncommitted, Visit, Visits};
