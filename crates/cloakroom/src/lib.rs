//! Sessions for Rust web applications, on axum and actix-web: values, flash messages, form errors,
//! sign-in. On the drivers with a store, concurrent requests of one session lose no change, and a logout is
//! final.
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let session = cloakroom::testing::session();
//! session.put("username", "virk")?;                    // anything that serde can serialize
//! session.increment("visits")?;                        // concurrent increments add up
//! session.put("preferences.theme", "dark")?;           // dots descend into objects
//! session.flash(serde_json::json!({ "notice": "Saved" }))?; // shown on the next page, once
//! session.sign_in("user-42")?;                         // a new token, and the owner
//! # Ok(()) }
//! ```
//!
//! | you want to | see |
//! |---|---|
//! | set sessions up, page by page | [`guide`], beginning with [`guide::start`] |
//! | use them with Loco, Leptos, Dioxus or htmx | [`guide::frameworks`] |
//! | read and write values, flash messages, sign in | [`Session`] |
//! | show old input, errors and messages in templates | [`View`] |
//! | take a form, and reply to an invalid one | [`Input`], [`JsonInput`], [`form`] |
//! | refuse forged requests | [`csrf`] |
//! | choose where sessions are stored | [`guide::drivers`], [`MemoryStore`], [`FileStore`], [`RedisStore`], [`sql`] |
//! | configure them in a file and by environment variables | [`settings`] |
//! | show and end the sessions of a visitor, or of everyone | [`OwnerSessions`], [`SessionAdmin`] |
//! | name a session in a job or on a page | [`SessionHandle`], [`Sessions::edit`] |
//! | know how concurrent requests interact | [`guide::concurrency`] |
//! | observe them: spans, events, metrics | [`observe`] |
//! | test an application | [`testing`] |
//! | write a store, or an adapter for another framework | [`store`], [`adapter`] |
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `axum`, `actix` | layers, extractors and responses for these frameworks |
//! | `config` (default) | settings from `config/session.toml` and the environment |
//! | `file` (default) | [`FileStore`], on Linux, macOS and BSD |
//! | `forms` (default) | forms with `multipart/form-data` |
//! | `redis` | [`RedisStore`] |
//! | `postgres`, `mysql`, `sqlite` | [`PostgresStore`], [`MySqlStore`], [`SqliteStore`] |
//! | `database-tls` | TLS for connections to databases that the settings name |
//! | `minijinja`, `tera` | the view helpers as functions of these template engines |
//! | `validator` (0.21), `validator_0_20`, `garde` | [`Session::with_errors`] accepts the errors of these crates |
//! | `metrics` | counters and histograms through the `metrics` facade |
//! | `conformance` | the test suite for stores |

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod guide;

#[cfg(feature = "actix")]
#[doc(inline)]
pub use cloakroom_actix as actix;
#[cfg(feature = "axum")]
#[doc(inline)]
pub use cloakroom_axum as axum;
pub use cloakroom_core::*;
#[cfg(all(unix, feature = "file"))]
#[doc(inline)]
pub use cloakroom_file::{self as file, FileStore};
#[cfg(feature = "redis")]
#[doc(inline)]
pub use cloakroom_redis::{self as redis, RedisStore};
#[cfg(feature = "config")]
#[doc(inline)]
pub use cloakroom_settings as settings;
#[cfg(any(feature = "mysql", feature = "postgres", feature = "sqlite"))]
#[doc(inline)]
pub use cloakroom_sqlx as sql;
#[cfg(feature = "mysql")]
pub use cloakroom_sqlx::MySqlStore;
#[cfg(feature = "postgres")]
pub use cloakroom_sqlx::PostgresStore;
#[cfg(feature = "sqlite")]
pub use cloakroom_sqlx::SqliteStore;
#[cfg(feature = "conformance")]
#[doc(inline)]
pub use cloakroom_store::conformance;
