//! The probe server on axum: `probe-axum --listen 127.0.0.1:PORT`.

use std::process::ExitCode;

use behaviour::probe::{axum::router, command};

fn main() -> ExitCode {
    command::main(
        |options| options.sessions().map(router),
        async |listener, app| axum::serve(listener, app).await,
    )
}
