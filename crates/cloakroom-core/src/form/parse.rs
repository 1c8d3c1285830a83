//! Reads forms from the bodies and queries of requests.

use bytes::Bytes;

#[cfg(feature = "forms")]
use crate::form::multipart;
use crate::form::{
    form_error::{FormError, Problem},
    input::FormInput,
    json,
    tree::Tree,
};
use crate::http::headers::Headers;

const URLENCODED: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data";
const JSON: &str = "application/json";

impl FormInput {
    /// Reads a form from a body: `application/x-www-form-urlencoded`, `application/json`, or with the
    /// feature `forms` also `multipart/form-data`.
    ///
    /// Handlers usually take [`Input`](crate::Input), which calls this method. The caller limits the
    /// length of the body, for example to [`DEFAULT_BODY_LIMIT`](super::DEFAULT_BODY_LIMIT). An empty
    /// body is an empty form under every content type.
    ///
    /// # Errors
    /// If the content type is not accepted, the body is malformed, or a field is sent both as a value and
    /// with fields below it (`a=1&a[b]=2`). Also if the form exceeds a limit:
    ///
    /// | limit | in JSON |
    /// |---|---|
    /// | 1,000 fields | each member of an object is a field, on every level |
    /// | 1,024 bytes in the name of a field | includes the names of the objects around it |
    /// | names nest 16 levels deep | lists and objects nest 64 levels deep |
    /// | | 10,000 values, including the entries of lists |
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
    #[cfg_attr(
        not(feature = "forms"),
        expect(clippy::unused_async, reason = "features may not change the signature")
    )]
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

    /// Checks that a body with these headers is not compressed. Call it before the body is read.
    ///
    /// [`parse`](Self::parse) does not decompress, because a few hundred bytes can expand to a gigabyte
    /// (OWASP ASVS 5.0, 5.2.3).
    ///
    /// # Errors
    /// If the headers have a `Content-Encoding` other than `identity`.
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

    /// Checks that a body with these headers is JSON (`application/json`) and is not compressed. Call it
    /// before the body is read.
    ///
    /// # Errors
    /// If the content type is missing or another one, or the headers have a `Content-Encoding` other
    /// than `identity`.
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

    /// Reads a form from the query of a URL, without its question mark.
    ///
    /// # Errors
    /// If the query exceeds a limit, or a field is sent both as a value and with fields below it. The
    /// limits are those of [`parse`](Self::parse).
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

/// Returns whether bodies of this content type are forms.
pub(crate) fn is_form(content_type: &str) -> bool {
    [URLENCODED, MULTIPART, JSON].contains(&essence(content_type).as_str())
}

/// Returns the media type in lower case, without its parameters.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Reads `application/x-www-form-urlencoded` as the URL Standard describes it. Percent-encoded bytes
/// that are not UTF-8 become replacement characters.
fn urlencoded(body: &[u8]) -> Result<FormInput, FormError> {
    let mut tree = Tree::default();
    for (name, value) in form_urlencoded::parse(body) {
        tree.insert(&name, value.into_owned())?;
    }
    Ok(tree.finish())
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use serde_json::json;

    use super::*;
    use crate::form::limits::MAX_NAME_BYTES;

    #[test]
    fn names_are_limited_and_in_json_together_with_those_around() {
        let too_long = FormError::from(Problem::NameTooLong(MAX_NAME_BYTES));
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
