//! The probe's benchmark routes without sessions: what the probe is measured against.

use std::process::ExitCode;

use axum::{Router, routing::get};
use behaviour::probe::command;

fn main() -> ExitCode {
    command::main(async |listener, _| {
        let app = Router::new()
            .route("/none", get(async || "none"))
            .route("/read", get(async || String::from("virk")))
            .route("/write", get(async || 1.to_string()));
        axum::serve(listener, app).await.map_err(|error| error.to_string())
    })
}
