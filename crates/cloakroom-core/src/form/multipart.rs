//! Reads the text fields of `multipart/form-data` (RFC 7578).

use std::convert::Infallible;

use bytes::Bytes;
use futures_util::stream;
use multer::Multipart;

use crate::form::{
    form_error::{FormError, Problem},
    input::FormInput,
    tree::Tree,
};

/// Reads the text fields. Skips files, which are the parts with a file name.
pub(super) async fn read(content_type: &str, body: Bytes) -> Result<FormInput, FormError> {
    let malformed =
        |error: multer::Error| Problem::Malformed("multipart/form-data", error.to_string());
    let boundary = multer::parse_boundary(content_type).map_err(malformed)?;
    let whole = stream::once(std::future::ready(Ok::<_, Infallible>(body)));
    let mut parts = Multipart::new(whole, boundary);
    let mut tree = Tree::default();
    while let Some(part) = parts.next_field().await.map_err(malformed)? {
        if part.file_name().is_some() {
            continue;
        }
        let name = part.name().unwrap_or_default().to_owned();
        let value = part.bytes().await.map_err(malformed)?;
        tree.insert(&name, String::from_utf8_lossy(&value).into_owned())?;
    }
    Ok(tree.finish())
}
