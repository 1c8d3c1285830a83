//! The routes on axum without sessions: what the servers on axum are measured against.

use std::process::ExitCode;

use axum::{Router, routing::get};
use cloakroom_bench::axum_server;
use tower_layer::Identity;

fn main() -> ExitCode {
    let routes = Router::new()
        .route("/none", get(async || "none"))
        .route("/read", get(async || String::from("virk")))
        .route("/write", get(async || 1.to_string()));
    axum_server::run(routes, async |_| Ok(Identity::new()))
}
