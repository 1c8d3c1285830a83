//! The probe's benchmark routes without sessions: what the probe is measured against.

use std::process::ExitCode;

use axum::{Router, routing::get};
use cloakroom_tests::probe::command;

fn main() -> ExitCode {
    let routes = Router::new()
        .route("/none", get(async || "none"))
        .route("/read", get(async || String::from("virk")))
        .route("/write", get(async || 1.to_string()));
    command::main(|_| Ok(routes), async |listener, app| axum::serve(listener, app).await)
}
