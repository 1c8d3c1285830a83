//! The smallest application: `cargo run -p cloakroom --features actix --example actix`, with
//! `APP_KEY="base64:$(openssl rand -base64 32)"` in the environment.

use actix_web::{App, HttpServer, web};
use cloakroom::{Error, Session, actix::SessionMiddleware, settings::Settings};

async fn home(session: Session) -> Result<web::Redirect, Error> {
    session.put("username", "virk")?;
    Ok(web::Redirect::to("/username").see_other())
}

async fn username(session: Session) -> Result<String, Error> {
    session.get_or("username", "nobody".to_owned())
}

#[actix_web::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let sessions = Settings::load_for_development(None)?.sessions()?;
    let app = move || {
        App::new()
            .route("/", web::get().to(home))
            .route("/username", web::get().to(username))
            .wrap(SessionMiddleware::new(sessions.clone()))
    };
    Ok(HttpServer::new(app).bind("127.0.0.1:3000")?.run().await?)
}
