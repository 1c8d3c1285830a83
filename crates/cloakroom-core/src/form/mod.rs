//! Forms: reads what a visitor sent, and collects errors by field.
//!
//! [`FormInput`] has the fields of a form, whatever its content type. [`FieldErrors`] has the messages
//! for the visitor. [`Input`](crate::Input) combines both in handlers.
//!
//! ```
//! # use cloakroom_core as cloakroom;
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

mod content_type;
pub(crate) mod field;
mod field_errors;
mod form_error;
mod input;
mod json;
mod limits;
#[cfg(feature = "forms")]
mod multipart;
mod parse;
mod secret_fields;
mod text;
mod tree;
#[cfg(any(feature = "garde", feature = "validator", feature = "validator_0_20"))]
mod validation;

pub(crate) use content_type::ContentType;
pub use field::CSRF_FIELD;
pub use field_errors::{FieldError, FieldErrors, IntoFieldErrors};
pub use form_error::FormError;
pub use input::FormInput;
pub use limits::DEFAULT_BODY_LIMIT;
pub use secret_fields::{SecretFieldError, SecretFields};

use crate::http::headers::Headers;

/// Returns whether the client wants a JSON reply.
///
/// That is the case if it accepts JSON or sent JSON, and does not accept `text/html`. A media type with
/// `q=0` is not accepted (RFC 9110, 12.4.2).
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::form::wants_json;
///
/// assert!(wants_json([("accept", "application/json")].as_slice()));
/// assert!(wants_json([("content-type", "application/json"), ("accept", "*/*")].as_slice()));
/// assert!(!wants_json([("accept", "text/html,application/json;q=0.9")].as_slice()));
/// ```
pub fn wants_json(headers: &(impl Headers + ?Sized)) -> bool {
    let (mut accepts_json, mut refuses_json) = (false, false);
    for range in headers.all("accept").flat_map(|line| line.split(|byte| *byte == b',')) {
        let mut parts = range.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let media_type = parts.next().unwrap_or_default();
        let is_refused = parts.any(is_zero_weight);
        if media_type.eq_ignore_ascii_case(b"text/html") && !is_refused {
            return false;
        }
        if names_json(media_type) {
            *(if is_refused { &mut refuses_json } else { &mut accepts_json }) = true;
        }
    }
    let sends_json = || headers.all("content-type").next().is_some_and(names_json);
    accepts_json || (!refuses_json && sends_json())
}

fn names_json(media_type: &[u8]) -> bool {
    media_type.windows(4).any(|word| word.eq_ignore_ascii_case(b"json"))
}

/// Returns whether a parameter is `q=0`, with or without decimals.
fn is_zero_weight(parameter: &[u8]) -> bool {
    matches!(parameter, [b'q' | b'Q', b'=', b'0', decimals @ ..]
        if decimals.iter().all(|byte| matches!(byte, b'.' | b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_accept_lines_decide_whether_json_is_wanted() {
        let wants = |headers: &[(&str, &str)]| wants_json(headers);
        for accept in [
            "Application/JSON",
            "text/html;q=0, application/json",
            "application/problem+json;q=0.5",
            "text/html; charset=utf-8; Q=0.000, application/json",
        ] {
            assert!(wants(&[("accept", accept)]), "{accept}");
        }
        for accept in [
            "TEXT/HTML, application/json",
            "application/json;q=0",
            "application/json; q=0.0",
            "*/*",
            "",
        ] {
            assert!(!wants(&[("accept", accept)]), "{accept}");
        }
        assert!(wants(&[("accept", "text/plain"), ("accept", "application/json")]));
        assert!(!wants(&[("accept", "application/json"), ("accept", "text/html")]));
        let sent = ("content-type", "Application/JSON; charset=utf-8");
        assert!(wants(&[sent]));
        assert!(wants(&[sent, ("accept", "*/*")]));
        assert!(wants(&[sent, ("accept", "text/html;q=0")]));
        assert!(!wants(&[sent, ("accept", "*/*"), ("accept", "text/html")]));
        assert!(!wants(&[sent, ("accept", "application/json;q=0, text/plain")]));
    }
}
