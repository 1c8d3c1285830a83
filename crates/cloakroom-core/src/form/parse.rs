//! Reads forms from the bodies and queries of requests.

use bytes::Bytes;

#[cfg(feature = "forms")]
use crate::form::multipart;
use crate::form::{
    content_type::{Accepted, ContentType},
    form_error::{FormError, Problem},
    input::FormInput,
    json,
    tree::Tree,
};
use crate::http::headers::Headers;

impl FormInput {
    /// Reads a form from the body of a request with these headers: `application/x-www-form-urlencoded`, `application/json`, or with the
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
    /// let headers = [("content-type", "application/json")];
    /// let input = FormInput::parse(&headers[..], r#"{"age":44}"#.into()).await?;
    /// assert_eq!(input.get("age").unwrap(), 44);
    /// # Ok::<(), cloakroom::form::FormError>(()) }).unwrap();
    /// ```
    #[cfg_attr(
        not(feature = "forms"),
        expect(clippy::unused_async, reason = "features may not change the signature")
    )]
    pub async fn parse(headers: &(impl Headers + ?Sized), body: Bytes) -> Result<Self, FormError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        let content_type = ContentType::of(headers);
        match content_type.accepted() {
            Some(Accepted::Urlencoded) => urlencoded(&body),
            #[cfg(feature = "forms")]
            Some(Accepted::Multipart) => multipart::read(&content_type.text(), body).await,
            Some(Accepted::Json) => json::read(&body),
            None => Err(match content_type.text() {
                text if text.is_empty() => Problem::NoType.into(),
                text => Problem::UnsupportedType(text.into_owned()).into(),
            }),
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
        let content_type = ContentType::of(headers);
        match content_type.accepted() {
            Some(Accepted::Json) => Ok(()),
            _ => Err(Problem::NotJson(content_type.text().into_owned()).into()),
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
            let headers = [("content-type", "application/json")];
            let form = FormInput::parse(&headers[..], form.into()).now_or_never().unwrap();
            assert_eq!(form.err(), (!accepted).then(|| too_long.clone()), "{above} {below}");
        }
        for (length, accepted) in [(1_024, true), (1_025, false)] {
            let form = FormInput::from_query(&format!("{}=1", "n".repeat(length)));
            assert_eq!(form.err(), (!accepted).then(|| too_long.clone()), "{length}");
        }
        assert_eq!(too_long.http_status(), 400);
    }

    #[test]
    fn parameters_of_a_content_type_may_have_any_bytes() {
        let parse = |content_type: &'static [u8], body: &'static str| {
            let headers = [("content-type", content_type)];
            FormInput::parse(&headers[..], body.into()).now_or_never().unwrap()
        };
        let form = parse(b" Application/X-www-form-urlencoded ; x=\"\xfc\"", "a=1").unwrap();
        assert_eq!(form.get("a").unwrap(), "1");
        assert_eq!(parse(b"application/json;x=\xfc", "{\"a\":1}").unwrap().get("a").unwrap(), 1);
        let error = parse(b"text/\xfc", "a=1").unwrap_err();
        assert!(error.is_unsupported_type() && error.to_string().contains("`text/\u{fffd}`"));
        let json = |value: &'static [u8]| FormInput::check_json(&[("content-type", value)][..]);
        assert!(json(b"application/json; x=\xfc").is_ok());
        assert!(
            json(b"text/\xfc").unwrap_err().to_string().contains("`text/\u{fffd}` is not JSON")
        );
        let none: &[(&str, &str)] = &[];
        let missing = FormInput::check_json(none).unwrap_err();
        assert!(missing.is_unsupported_type() && missing.to_string().contains("no content type"));
    }

    #[cfg(feature = "forms")]
    #[test]
    fn a_boundary_that_is_not_ascii_is_malformed() {
        let headers = [("content-type", &b"multipart/form-data; boundary=\xfc"[..])];
        let form = FormInput::parse(&headers[..], "--".into()).now_or_never().unwrap();
        assert_eq!(form.unwrap_err().http_status(), 400);
    }
}
