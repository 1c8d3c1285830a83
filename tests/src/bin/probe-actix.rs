//! The probe server on actix-web: `probe-actix --listen 127.0.0.1:PORT`.

use std::process::ExitCode;

use actix_web::{App, HttpServer};
use cloakroom_tests::probe::{actix::configure, command};

fn main() -> ExitCode {
    command::main(
        |options| Ok((options.sessions()?, options.workers)),
        async |listener, (sessions, workers)| {
            let app = move || App::new().configure(|app| configure(app, &sessions));
            let mut server = HttpServer::new(app);
            if let Some(workers) = workers {
                server = server.workers(workers);
            }
            server.listen(listener.into_std()?)?.run().await
        },
    )
}
