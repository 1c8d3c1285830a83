//! The visitor's theme, kept under a dotted key.

use axum::response::IntoResponse;
use cloakroom::{Back, Input, Session, TypedKey};
use serde::Deserialize;

use crate::site::Failure;

pub(crate) const THEME: TypedKey<String> = TypedKey::new("preferences.theme");

#[derive(Deserialize)]
pub(crate) struct Choice {
    theme: Theme,
}

/// Anything else that is posted is refused.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Theme {
    Light,
    Dark,
}

pub(crate) async fn choose(
    session: Session,
    back: Back,
    input: Input<Choice>,
) -> Result<impl IntoResponse, Failure> {
    match input.into_result() {
        Ok(Choice { theme: Theme::Light }) => session.put(THEME, "light".to_owned())?,
        Ok(Choice { theme: Theme::Dark }) => session.put(THEME, "dark".to_owned())?,
        Err(errors) => _ = session.with_errors(errors)?,
    }
    Ok(back.or("/"))
}
