//! The theme of the pages.

use cloakroom::{Back, Input, SeeOther, Session};
use serde::Deserialize;

use crate::{keys::THEME, site::Failure};

#[derive(Deserialize)]
pub(crate) struct Choice {
    theme: Theme,
}

/// The themes that the form offers.
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
) -> Result<SeeOther, Failure> {
    match input.into_result() {
        Ok(Choice { theme: Theme::Light }) => session.put(THEME, "light".to_owned())?,
        Ok(Choice { theme: Theme::Dark }) => session.put(THEME, "dark".to_owned())?,
        Err(errors) => _ = session.with_errors(errors)?,
    }
    Ok(back.or("/"))
}
