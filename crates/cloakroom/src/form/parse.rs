//! From a request's body to a form.

use std::fmt;

use bytes::Bytes;
use serde_json::Value;

use super::{FormInput, multipart, tree::Tree};
use crate::{request::Headers, values::MAX_NESTING};

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";
const JSON: &str = "application/json";

/// How many fields a form may have.
pub(super) const MAX_FIELDS: usize = 1_000;

const ACCEPTED: &str =
    "application/x-www-form-urlencoded, multipart/form-data and application/json are accepted";

impl FormInput {
    /// Reads a body of this content type. An empty body is an empty form, whatever its type.
    ///
    /// The caller limits the body's length ([`DEFAULT_BODY_LIMIT`](super::DEFAULT_BODY_LIMIT)).
    ///
    /// # Errors
    /// When the type is no form's or the body is not of its type, and where names nest more than 16
    /// deep, contradict each other, or there are more than 1,000 fields. In JSON each member of an
    /// object is a field, on all levels, and lists and objects may nest 64 deep.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use cloakroom::form::FormInput;
    ///
    /// let input = FormInput::parse(Some("application/json"), r#"{"age":44}"#.into()).await?;
    /// assert_eq!(input.get("age").unwrap(), 44);
    /// # Ok::<(), cloakroom::form::FormError>(()) }).unwrap();
    /// ```
    pub async fn parse(content_type: Option<&str>, body: Bytes) -> Result<Self, FormError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let content_type = content_type.unwrap_or_default();
        match essence(content_type).as_str() {
            URLENCODED => urlencoded(&body),
            MULTIPART => multipart::read(content_type, body).await,
            JSON => json(&body),
            "" => Err(Problem::NoType.into()),
            other => Err(Problem::UnsupportedType(other.to_owned()).into()),
        }
    }

    /// Checks that a body with these headers can be read as it comes: [`parse`](Self::parse) does
    /// not decompress, because a few hundred bytes can expand to a gigabyte. Call it before the body
    /// is read.
    ///
    /// # Errors
    /// If there is a `Content-Encoding` other than `identity`.
    ///
    /// ```
    /// use cloakroom::form::FormInput;
    ///
    /// let error = FormInput::check_encoding(&[("content-encoding", "br")][..]).unwrap_err();
    /// assert_eq!(error.http_status(), 415);
    /// assert!(FormInput::check_encoding(&[("content-length", "5")][..]).is_ok());
    /// ```
    pub fn check_encoding(headers: &(impl Headers + ?Sized)) -> Result<(), FormError> {
        let mut codings = headers.all("content-encoding");
        match codings.find(|coding| !coding.eq_ignore_ascii_case(b"identity")) {
            Some(coding) => {
                Err(Problem::Encoded(String::from_utf8_lossy(coding).into_owned()).into())
            }
            None => Ok(()),
        }
    }

    /// Reads a URL's query.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    ///
    /// ```
    /// # use cloakroom::form::FormInput;
    /// let input = FormInput::from_query("tag=a&tag=b")?;
    /// assert_eq!(input.get("tag.1").unwrap(), "b");
    /// # Ok::<(), cloakroom::form::FormError>(())
    /// ```
    pub fn from_query(query: &str) -> Result<Self, FormError> {
        urlencoded(query.as_bytes())
    }
}

/// Whether a body of this content type is read as a form.
pub(crate) fn is_form(content_type: &str) -> bool {
    [URLENCODED, MULTIPART, JSON].contains(&essence(content_type).as_str())
}

/// A media type without its parameters.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Percent-sequences that are not UTF-8 become replacement characters, as in browsers.
fn urlencoded(body: &[u8]) -> Result<FormInput, FormError> {
    let mut tree = Tree::default();
    for (name, value) in form_urlencoded::parse(body) {
        tree.insert(&name, value.into_owned())?;
    }
    Ok(tree.finish())
}

fn json(body: &[u8]) -> Result<FormInput, FormError> {
    match serde_json::from_slice(body) {
        Ok(form @ Value::Object(_)) if fields(&form) > MAX_FIELDS => {
            Err(Problem::TooManyFields(MAX_FIELDS).into())
        }
        Ok(form @ Value::Object(_)) if depth(&form) > MAX_NESTING => {
            Err(Problem::TooDeep(MAX_NESTING).into())
        }
        Ok(Value::Object(members)) => Ok(FormInput::of(members)),
        Ok(_) => Err(Problem::NotAnObject.into()),
        Err(error) => Err(Problem::Malformed("JSON", error.to_string()).into()),
    }
}

/// How many members objects have, on all levels. The parser has bounded the recursion.
fn fields(value: &Value) -> usize {
    match value {
        Value::Object(members) => members.len() + members.values().map(fields).sum::<usize>(),
        Value::Array(entries) => entries.iter().map(fields).sum(),
        _ => 0,
    }
}

/// How deep lists and objects nest.
fn depth(value: &Value) -> usize {
    match value {
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or_default(),
        Value::Array(entries) => 1 + entries.iter().map(depth).max().unwrap_or_default(),
        _ => 0,
    }
}

/// Why a body is no form. The message says what came and what is accepted, and quotes no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormError(Problem);

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Problem {
    NoType,
    UnsupportedType(String),
    Encoded(String),
    NotAnObject,
    Malformed(&'static str, String),
    TooManyFields(usize),
    TooDeep(usize),
    Contradiction(String),
}

impl From<Problem> for FormError {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl FormError {
    /// Returns `true` if the content type is no form's.
    pub fn is_unsupported_type(&self) -> bool {
        matches!(self.0, Problem::NoType | Problem::UnsupportedType(_))
    }

    /// Returns `true` if the body has a content encoding.
    pub fn is_encoded(&self) -> bool {
        matches!(self.0, Problem::Encoded(_))
    }

    /// Returns the status for the client: 415 if the content type is no form's or the body has a
    /// content encoding, else 400.
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
            Problem::Encoded(coding) => write!(
                f,
                "the body has the content encoding `{}`; send it without one",
                coding.escape_debug()
            ),
            Problem::NotAnObject => {
                f.write_str("the JSON body is not an object, as a form has to be")
            }
            Problem::Malformed(kind, why) => write!(f, "the body is not {kind}: {why}"),
            Problem::TooManyFields(most) => write!(f, "the form has more than {most} fields"),
            Problem::TooDeep(most) => write!(f, "a field's name nests more than {most} deep"),
            Problem::Contradiction(name) => {
                write!(f, "the field `{}` has both a value and fields within", name.escape_debug())
            }
        }
    }
}

impl std::error::Error for FormError {}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::{Map, json};

    use super::*;

    fn read(body: &str) -> Result<FormInput, FormError> {
        FormInput::parse(Some(JSON), body.to_owned().into()).now_or_never().unwrap()
    }

    #[test]
    fn a_json_form_has_as_many_fields_as_others_on_all_levels() {
        let members = |count| (0..count).map(|i| (i.to_string(), json!(i))).collect::<Map<_, _>>();
        for (form, accepted) in [
            (json!(members(1_000)), true),
            (json!(members(1_001)), false),
            (json!({ "list": [members(499), members(500)] }), true),
            (json!({ "list": [members(500), members(500)] }), false),
            (json!({ "list": (0..5_000).collect::<Vec<_>>() }), true),
        ] {
            let read = read(&form.to_string());
            assert_eq!(read.is_ok(), accepted, "{read:?}");
            if let Err(error) = read {
                assert_eq!(error, Problem::TooManyFields(MAX_FIELDS).into());
                assert_eq!(
                    (error.http_status(), error.to_string().contains("1000 fields")),
                    (400, true)
                );
            }
        }
    }

    #[test]
    fn a_json_form_nests_as_deep_as_a_session_can_keep() {
        let nested = |depth| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(read(&nested(63)).is_ok());
        let error = read(&nested(64)).unwrap_err();
        assert!(error.to_string().contains("64 deep"), "{error}");
    }
}
