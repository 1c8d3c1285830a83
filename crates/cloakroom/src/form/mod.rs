//! What a visitor sent: forms read into one shape, and what is wrong with them by field.
//!
//! ```
//! use cloakroom::form::FormInput;
//!
//! #[derive(serde::Deserialize)]
//! struct Order { user: User, tags: Vec<String>, #[serde(default)] gift: bool }
//! #[derive(serde::Deserialize)]
//! struct User { name: String, age: Option<u8> }
//!
//! let input = FormInput::from_query("user[name]=Virk&user[age]=&tags[]=a&tags[]=b&gift=on")?;
//! let order: Order = input.deserialize()?;
//! assert_eq!(order.user.name, "Virk");
//! assert_eq!((order.user.age, order.tags.len(), order.gift), (None, 2, true));
//!
//! let input = FormInput::from_query("user[name]=Virk&user[age]=old&tags=a")?;
//! let errors = input.deserialize::<Order>().err().unwrap();
//! assert_eq!(errors.messages_for("user.age"), ["must be a whole number from 0 to 255"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod body;
mod errors;
mod input;
mod multipart;
mod parse;
mod secret_fields;
mod submission;
mod text;
mod tree;
#[cfg(any(feature = "garde", feature = "validator"))]
mod validation;

pub use body::BodyError;
pub use errors::{FieldError, FieldErrors, IntoFieldErrors};
pub use input::FormInput;
pub use parse::FormError;
pub(crate) use parse::is_form;
pub use secret_fields::{SecretFieldError, SecretFields};
pub use submission::{InvalidForm, Submission};

use crate::request::Headers;

/// Whether the client wants its answer as JSON: it says so, or it sent JSON and does not ask for a page.
///
/// ```
/// use cloakroom::form::wants_json;
///
/// assert!(wants_json([("accept", "application/json")].as_slice()));
/// assert!(wants_json([("content-type", "application/json"), ("accept", "*/*")].as_slice()));
/// assert!(!wants_json([("accept", "text/html,application/json;q=0.9")].as_slice()));
/// ```
pub fn wants_json(headers: &(impl Headers + ?Sized)) -> bool {
    let accept = headers.text("accept").unwrap_or_default();
    let sends_json = || headers.text("content-type").is_some_and(|sent| sent.contains("json"));
    !accept.contains("text/html") && (accept.contains("json") || sends_json())
}

/// How many bytes a form may have unless the application says otherwise: 2 MiB.
pub const DEFAULT_BODY_LIMIT: usize = 2 * 1024 * 1024;

/// The form field that carries the CSRF token.
pub const CSRF_FIELD: &str = "_csrf";
