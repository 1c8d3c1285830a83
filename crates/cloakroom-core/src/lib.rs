//! The engine of the cloakroom sessions: values, flash, forms, cookies, and the commit that merges the
//! changes of concurrent requests.
//!
//! Applications add the crate `cloakroom`, which re-exports everything here. Depend on this crate to
//! write an [`adapter`] for another framework. Stores only depend on `cloakroom-store`.
//!
//! A folder of the sources is a floor. A module imports from its own floor and from those below it. From the
//! ground up:
//!
//! | folder | what it does |
//! |---|---|
//! | `http` | reads request headers, writes response headers; origins; redirects |
//! | `crypto` | application keys, tokens, sealing |
//! | `cookie` | reads and writes cookies; chunks; pre-sessions; the old name |
//! | `values` | the JSON values of a session, by dotted keys |
//! | `form` | reads forms; errors by field |
//! | `record` | the record of a session, its format, the changes that are replayed on it |
//! | `backend` | loads and commits: the decision, the turns of writers, cookie and store |
//! | `session` | [`Session`], [`View`], [`Sessions`]: what handlers use |
//! | `manage` | sessions that are found from outside of their requests |
//! | `web` | CSRF protection, names of devices, view helpers |
//! | `adapter` | what a framework's adapter needs |
//! | `testing` | a client and sessions for tests |
//!
//! # Features
//! | feature | adds |
//! |---|---|
//! | `axum`, `actix` | extractors and responses for these frameworks |
//! | `forms` | forms with `multipart/form-data` |
//! | `http` | header maps of the crate `http`, for an [`adapter`] of your own |
//! | `minijinja`, `tera` | the view helpers as functions of these template engines |
//! | `validator` (0.21), `validator_0_20`, `garde` | [`Session::with_errors`] accepts the errors of these crates |
//! | `metrics` | counters and histograms through the `metrics` facade |

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod adapter;

mod backend;
pub mod cookie;
mod crypto;
mod error;
pub mod form;
mod http;
mod manage;
pub mod observe;
mod record;
mod session;
pub mod testing;
mod values;
mod web;

pub use adapter::{
    input::{Input, JsonInput},
    named_session::{CookieName, NamedSession},
    require_owner::{Owner, RequireOwner},
};
pub use backend::{
    context::ServerErrors,
    device_binding::DeviceBinding,
    events::{EndedBy, SessionEvent, SessionEventKind},
    foreign::{ForeignSession, ForeignSessions},
    not_before::NotBefore,
    users::Users,
};
pub use cloakroom_store::{self as store, MemoryStore, async_trait, clock};
pub use crypto::app_keys::{AppKeys, KeyError};
pub use error::{ConfigError, Error, WithCauses};
pub use http::{
    origin::{Origin, OriginError},
    redirect::{self, Back, SeeOther},
    site_data::SiteData,
    site_origins::SiteOrigins,
    site_scheme::SiteScheme,
};
pub use manage::{
    admin::{SessionAdmin, SessionContents},
    editor::SessionEditor,
    info::{SessionInfo, SessionPage},
    owner_sessions::OwnerSessions,
};
pub use record::{
    copy::copy_record,
    handle::{HandleError, SessionHandle},
    lifetimes::MIN_TIMEOUT,
    message::Message,
    sign_in::SignIn,
};
pub use session::{
    Session,
    builder::{DEFAULT_IDLE_TIMEOUT, SessionsBuilder},
    current_user::CurrentUser,
    deadlines::Deadlines,
    device::Device,
    flash_messages::FlashMessages,
    read::ReadSession,
    sessions::{Driver, Sessions},
    view::View,
};
pub use values::{
    key::{AsKey, Key, KeyOf, TypedKey},
    number::Number,
};
#[cfg(feature = "minijinja")]
pub use web::minijinja;
#[cfg(feature = "tera")]
pub use web::tera;
pub use web::{csrf, device::device_name};
