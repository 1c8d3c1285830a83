//! The reasons why a body cannot be read as a form.

use std::fmt;

#[cfg(feature = "forms")]
const ACCEPTED: &str =
    "application/x-www-form-urlencoded, multipart/form-data and application/json are accepted";
#[cfg(not(feature = "forms"))]
const ACCEPTED: &str = "application/x-www-form-urlencoded and application/json are accepted";

/// A body that cannot be read as a form.
///
/// The message says what is wrong and what is accepted. It names fields and content types, and quotes no
/// values. [`http_status`](Self::http_status) is the status for the client.
///
/// ```
/// # use cloakroom_core as cloakroom;
/// use cloakroom::form::FormInput;
///
/// let error = FormInput::from_query("a=1&a[b]=2").unwrap_err();
/// assert_eq!(error.to_string(), "the field `a[b]` is sent both as a value and with fields below it");
/// assert_eq!(error.http_status(), 400);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormError(Problem);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    NoType,
    UnsupportedType(String),
    NotJson(String),
    Encoded(String),
    NotAnObject,
    Malformed(&'static str, String),
    TooManyFields(usize),
    TooManyValues(usize),
    TooDeep(usize),
    NameTooLong(usize),
    Contradiction(String),
}

impl From<Problem> for FormError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl FormError {
    /// Returns `true` if the body has no content type, or one that is not accepted.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use cloakroom::form::FormInput;
    ///
    /// let error = FormInput::parse(&[("content-type", "text/plain")][..], "a=1".into()).await.unwrap_err();
    /// assert!(error.is_unsupported_type() && !error.is_encoded());
    /// # });
    /// ```
    pub fn is_unsupported_type(&self) -> bool {
        matches!(self.0, Problem::NoType | Problem::UnsupportedType(_) | Problem::NotJson(_))
    }

    /// Returns `true` if the body has a content encoding, such as `gzip`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::form::FormInput;
    ///
    /// let error = FormInput::check_encoding(&[("content-encoding", "gzip")][..]).unwrap_err();
    /// assert!(error.is_encoded());
    /// ```
    pub fn is_encoded(&self) -> bool {
        matches!(self.0, Problem::Encoded(_))
    }

    /// Returns the HTTP status for the client: 415 if the content type or the content encoding is not
    /// accepted, and 400 otherwise.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::form::FormInput;
    ///
    /// let error = FormInput::from_query(&"a=1&".repeat(1_001)).unwrap_err();
    /// assert_eq!(error.http_status(), 400);
    /// ```
    pub fn http_status(&self) -> u16 {
        if self.is_unsupported_type() || self.is_encoded() { 415 } else { 400 }
    }
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Problem::NoType => write!(f, "the body has no content type; {ACCEPTED}"),
            Problem::UnsupportedType(given) => {
                write!(f, "a form cannot be read from `{}`; {ACCEPTED}", given.escape_debug())
            }
            Problem::NotJson(given) if given.is_empty() => {
                f.write_str("the body has no content type; `application/json` is accepted")
            }
            Problem::NotJson(given) => {
                write!(f, "`{}` is not JSON; `application/json` is accepted", given.escape_debug())
            }
            Problem::Encoded(coding) => write!(
                f,
                "the body has the content encoding `{}`; send it without one",
                coding.escape_debug()
            ),
            Problem::NotAnObject => {
                f.write_str("the JSON body is not an object; an object of fields is accepted")
            }
            Problem::Malformed(kind, why) => write!(f, "the body is not {kind}: {why}"),
            Problem::TooManyFields(limit) => write!(f, "the form has more than {limit} fields"),
            Problem::TooManyValues(limit) => write!(f, "the form has more than {limit} values"),
            Problem::NameTooLong(limit) => {
                write!(f, "a field's name is longer than {limit} bytes")
            }
            Problem::TooDeep(limit) => write!(f, "a field nests more than {limit} deep"),
            Problem::Contradiction(name) => write!(
                f,
                "the field `{}` is sent both as a value and with fields below it",
                name.escape_debug()
            ),
        }
    }
}

impl std::error::Error for FormError {}
