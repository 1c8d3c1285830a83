//! The probe server on axum: `probe-axum --listen 127.0.0.1:PORT`.

use std::process::ExitCode;

use behaviour::probe::{axum::router, command};

fn main() -> ExitCode {
    command::main(async |listener, options| {
        let app = router(options.sessions()?);
        axum::serve(listener, app).await.map_err(|error| error.to_string())
    })
}
