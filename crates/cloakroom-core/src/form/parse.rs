//! From a request's body to a form.

use std::fmt;

use bytes::Bytes;

#[cfg(feature = "forms")]
use crate::form::multipart;
use crate::form::{FormInput, json, tree::Tree};
use crate::http::headers::Headers;

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";
const JSON: &str = "application/json";

/// How many fields a form may have.
pub(super) const MAX_FIELDS: usize = 1_000;

/// How many bytes the name of a field may have, as a key of the session may.
const MAX_NAME: usize = 1_024;

#[cfg(feature = "forms")]
const ACCEPTED: &str =
    "application/x-www-form-urlencoded, multipart/form-data and application/json are accepted";
#[cfg(not(feature = "forms"))]
const ACCEPTED: &str = "application/x-www-form-urlencoded and application/json are accepted";

impl FormInput {
    /// Reads a body of this content type. An empty body is an empty form, whatever its type.
    ///
    /// The caller limits the body's length ([`DEFAULT_BODY_LIMIT`](super::DEFAULT_BODY_LIMIT)).
    ///
    /// # Errors
    /// When the type is no form's or the body is not of its type, and where names nest more than 16
    /// deep, are longer than 1,024 bytes, contradict each other, or there are more than 1,000 fields.
    /// In JSON each member of an object is a field, on all levels, and its name is as long as the names
    /// that lead to it together. Lists and objects may nest 64 deep, and there may be 10,000 values,
    /// entries of lists included.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
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
            #[cfg(feature = "forms")]
            MULTIPART => multipart::read(content_type, body).await,
            JSON => json::read(&body),
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
    /// # use cloakroom_core as cloakroom;
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

    /// Checks that a body with these headers is JSON (`application/json`) and can be read as it comes.
    /// Call it before the body is read.
    ///
    /// # Errors
    /// If the content type is another one, or there is a `Content-Encoding` other than `identity`.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// use cloakroom::form::FormInput;
    ///
    /// let form = [("content-type", "application/x-www-form-urlencoded")];
    /// let error = FormInput::check_json(&form[..]).unwrap_err();
    /// assert_eq!(error.to_string(), "`application/x-www-form-urlencoded` is not JSON; `application/json` is accepted");
    /// ```
    pub fn check_json(headers: &(impl Headers + ?Sized)) -> Result<(), FormError> {
        Self::check_encoding(headers)?;
        match headers.text("content-type") {
            Some(content_type) if essence(content_type) == JSON => Ok(()),
            content_type => {
                Err(Problem::NotJson(content_type.unwrap_or_default().to_owned()).into())
            }
        }
    }

    /// Reads a URL's query.
    ///
    /// # Errors
    /// As [`parse`](Self::parse).
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
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

/// Refuses a name that is too long.
pub(super) fn check_name(bytes: usize) -> Result<(), Problem> {
    if bytes > MAX_NAME { Err(Problem::NameTooLong(MAX_NAME)) } else { Ok(()) }
}

/// Why a body is no form. The message says what came and what is accepted, and quotes no value.
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
    /// Returns `true` if the content type is no form's.
    pub fn is_unsupported_type(&self) -> bool {
        matches!(self.0, Problem::NoType | Problem::UnsupportedType(_) | Problem::NotJson(_))
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
            Problem::NotJson(given) => {
                write!(f, "`{}` is not JSON; `{JSON}` is accepted", given.escape_debug())
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
            Problem::TooManyValues(most) => write!(f, "the form has more than {most} values"),
            Problem::NameTooLong(most) => {
                write!(f, "a field's name is longer than {most} bytes")
            }
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
    use serde_json::json;

    use super::*;

    #[test]
    fn a_name_has_a_kibibyte_at_most_and_in_json_with_the_names_above() {
        let too_long = FormError::from(Problem::NameTooLong(MAX_NAME));
        for (above, below, accepted) in
            [("a", 1_023, true), ("a", 1_024, false), ("ab", 1_023, false)]
        {
            let form = json!({ above: [{ "n".repeat(below): 1 }] }).to_string();
            let form = FormInput::parse(Some(JSON), form.into()).now_or_never().unwrap();
            assert_eq!(form.err(), (!accepted).then(|| too_long.clone()), "{above} {below}");
        }
        for (length, accepted) in [(1_024, true), (1_025, false)] {
            let form = FormInput::from_query(&format!("{}=1", "n".repeat(length)));
            assert_eq!(form.err(), (!accepted).then(|| too_long.clone()), "{length}");
        }
        assert_eq!(too_long.http_status(), 400);
    }
}
