//! The state that all pages share: templates and the guestbook.

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use cloakroom::Error;
use minijinja::{Environment, Value, context};

use crate::{guestbook::Guestbook, keys::THEME};

pub(crate) const STYLE: &str = include_str!("../static/style.css");

/// The application's state.
pub(crate) type Shared = Arc<Site>;

pub(crate) struct Site {
    templates: Environment<'static>,
    pub(crate) guestbook: Guestbook,
}

impl Site {
    pub(crate) fn new() -> Result<Self, minijinja::Error> {
        let mut templates = Environment::new();
        cloakroom::minijinja::add_helpers(&mut templates);
        for (name, source) in [
            ("frame.html", include_str!("../templates/frame.html")),
            ("book.html", include_str!("../templates/book.html")),
            ("sign_in.html", include_str!("../templates/sign_in.html")),
            ("account.html", include_str!("../templates/account.html")),
            ("devices.html", include_str!("../templates/devices.html")),
            ("inspector.html", include_str!("../templates/inspector.html")),
        ] {
            templates.add_template(name, source)?;
        }
        Ok(Self { templates, guestbook: Guestbook::default() })
    }

    /// Renders a page in the frame, with the session's view for its helpers.
    pub(crate) fn page(
        &self,
        session: &cloakroom::Session,
        name: &str,
        content: Value,
    ) -> Result<Html<String>, Failure> {
        let frame = context! {
            view => session.view().to_value(),
            user => session.owner(),
            theme => session.get_or(THEME, "light".to_owned())?,
            here => name,
            ..content
        };
        Ok(Html(self.templates.get_template(name)?.render(frame)?))
    }
}

/// Why a page could not be shown.
#[derive(Debug)]
pub(crate) enum Failure {
    Session(Error),
    Template(minijinja::Error),
}

impl From<cloakroom::Error> for Failure {
    fn from(error: cloakroom::Error) -> Self {
        Self::Session(error)
    }
}

impl From<minijinja::Error> for Failure {
    fn from(error: minijinja::Error) -> Self {
        Self::Template(error)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        match self {
            Self::Session(error) => error.into_response(),
            Self::Template(error) => {
                eprintln!("a template failed: {error:#}");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}
