//! The code that is left to write by hand.

use crate::arguments::Framework;

const AXUM: &str = r#"
Add the session layer to your routes:

    use cloakroom::{axum::{CsrfLayer, SessionLayer}, settings::Settings, Error, Session};

    let sessions = Settings::load_for_development(None)?.sessions()?;
    let app = Router::new()
        // your routes
        .layer(CsrfLayer::default())
        .layer(SessionLayer::new(sessions));

Take a session in any handler:

    async fn home(session: Session) -> Result<String, Error> {
        Ok(format!("visit number {}", session.increment("visits")?))
    }
"#;

const ACTIX: &str = r#"
Add the session middleware to your application. Make the sessions once, outside the closure:

    use cloakroom::{actix::{CsrfMiddleware, SessionMiddleware}, settings::Settings, Error, Session};

    let sessions = Settings::load_for_development(None)?.sessions()?;
    HttpServer::new(move || {
        App::new()
            // your routes
            .wrap(CsrfMiddleware::default())
            .wrap(SessionMiddleware::new(sessions.clone()))
    })

Take a session in any handler:

    async fn home(session: Session) -> Result<String, Error> {
        Ok(format!("visit number {}", session.increment("visits")?))
    }
"#;

const BEFORE_PRODUCTION: &str = "
The guide describes forms, flash messages and more: `cargo doc --open -p cloakroom`.

`load_for_development` is for plain http on localhost, and reads .env. In production use
`Settings::load`, set APP_KEY in the environment, and run `cloakroom doctor` there.";

/// Returns the steps for a framework.
pub(super) fn left_to_do(framework: Framework) -> String {
    let steps = match framework {
        Framework::Axum => AXUM,
        Framework::Actix => ACTIX,
    };
    format!("{steps}{BEFORE_PRODUCTION}")
}
