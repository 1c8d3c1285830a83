//! The routes with the sessions of cloakroom on axum: `cloakroom-on-axum DRIVER`.

use std::process::ExitCode;

use axum::{Router, routing::get};
use cloakroom::{Error, Session, axum::SessionLayer};
use cloakroom_bench::{axum_server, sessions};

fn main() -> ExitCode {
    let routes = Router::new()
        .route("/none", get(async || "none"))
        .route("/login", get(login))
        .route("/read", get(read))
        .route("/write", get(write));
    axum_server::run(routes, async |options| sessions::build(options).map(SessionLayer::new))
}

async fn login(session: Session) -> Result<&'static str, Error> {
    session.put("username", "virk")?;
    Ok("signed in")
}

async fn read(session: Session) -> Result<String, Error> {
    session.get_or("username", String::new())
}

async fn write(session: Session) -> Result<String, Error> {
    Ok(session.increment("counter")?.to_string())
}
