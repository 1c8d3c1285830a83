//! What is left to do by hand.

use crate::arguments::Framework;

const AXUM: &str = r#"
Now put the sessions around your routes:

    use cloakroom::{axum::{CsrfLayer, SessionLayer}, settings::Settings, Error, Session};

    let sessions = Settings::load_for_development(None)?.sessions()?;
    let app = Router::new()
        // your routes
        .layer(CsrfLayer::default())
        .layer(SessionLayer::new(sessions));

and ask for one in any handler:

    async fn home(session: Session) -> Result<String, Error> {
        Ok(format!("visit number {}", session.increment("visits")?))
    }
"#;

const ACTIX: &str = r#"
Now put the sessions around your application, made once, outside of the closure:

    use cloakroom::{actix::{CsrfMiddleware, SessionMiddleware}, settings::Settings, Error, Session};

    let sessions = Settings::load_for_development(None)?.sessions()?;
    HttpServer::new(move || {
        App::new()
            // your routes
            .wrap(CsrfMiddleware::default())
            .wrap(SessionMiddleware::new(sessions.clone()))
    })

and ask for one in any handler:

    async fn home(session: Session) -> Result<String, Error> {
        Ok(format!("visit number {}", session.increment("visits")?))
    }
"#;

const BEFORE_PRODUCTION: &str = "
Forms, flash messages and the rest: the guide in `cargo doc --open -p cloakroom`.

`load_for_development` is for plain http on localhost, and reads .env. In production use
`Settings::load`, set APP_KEY in the environment, and run `cloakroom doctor` there.";

pub(super) fn left_to_do(framework: Framework) -> String {
    let steps = match framework {
        Framework::Axum => AXUM,
        Framework::Actix => ACTIX,
    };
    format!("{steps}{BEFORE_PRODUCTION}")
}
