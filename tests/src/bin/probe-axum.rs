//! The probe server on axum: `probe-axum --listen 127.0.0.1:PORT`.

use std::process::ExitCode;

use axum::{ServiceExt, extract::Request};
use cloakroom::axum::SessionLayer;
use cloakroom_tests::probe::{axum::routes, command};
use tower::Layer;

fn main() -> ExitCode {
    command::main(
        // Around the router as a whole: `Router::layer` would box each request once more.
        |options| options.sessions().map(|sessions| SessionLayer::new(sessions).layer(routes())),
        async |listener, app| {
            let app = ServiceExt::<Request>::into_make_service(app);
            axum::serve(listener, app).await
        },
    )
}
