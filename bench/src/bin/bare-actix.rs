//! The routes on actix-web without sessions: what the servers on actix-web are measured against.

use std::process::ExitCode;

use actix_web::{App, HttpServer, web};
use cloakroom_bench::{
    Failure,
    options::{Options, finish},
};

#[actix_web::main]
async fn main() -> ExitCode {
    finish(serve().await)
}

async fn serve() -> Result<(), Failure> {
    let app = || {
        App::new()
            .route("/none", web::get().to(async || "none"))
            .route("/read", web::get().to(async || String::from("virk")))
            .route("/write", web::get().to(async || 1.to_string()))
    };
    let server = HttpServer::new(app).workers(1).listen(Options::read()?.listen()?);
    server.map_err(|error| error.to_string())?.run().await.map_err(|error| error.to_string())
}
