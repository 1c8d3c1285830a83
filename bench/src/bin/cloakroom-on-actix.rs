//! The routes with the sessions of cloakroom on actix-web: `cloakroom-on-actix DRIVER`.

use std::process::ExitCode;

use actix_web::{App, HttpServer, web};
use cloakroom::{Error, Session, actix::SessionMiddleware};
use cloakroom_bench::{
    Failure,
    options::{Options, finish},
    sessions,
};

#[actix_web::main]
async fn main() -> ExitCode {
    finish(serve().await)
}

async fn serve() -> Result<(), Failure> {
    let options = Options::read()?;
    let sessions = sessions::build(&options)?;
    let app = move || {
        App::new()
            .route("/none", web::get().to(async || "none"))
            .route("/login", web::get().to(login))
            .route("/read", web::get().to(read))
            .route("/write", web::get().to(write))
            .wrap(SessionMiddleware::new(sessions.clone()))
    };
    let server = HttpServer::new(app).workers(1).listen(options.listen()?);
    server.map_err(|error| error.to_string())?.run().await.map_err(|error| error.to_string())
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
