//! The routes with the sessions of `actix-session`: `actix-session-peer cookie|redis`.

use std::process::ExitCode;

use actix_session::{
    Session, SessionGetError, SessionInsertError, SessionMiddleware,
    storage::{CookieSessionStore, RedisSessionStore, SessionStore},
};
use actix_web::{App, HttpServer, cookie::Key, web};
use cloakroom_bench::{
    Failure,
    options::{Options, finish},
};

#[actix_web::main]
async fn main() -> ExitCode {
    finish(start().await)
}

async fn start() -> Result<(), Failure> {
    let options = Options::read()?;
    match options.driver.as_str() {
        "cookie" => serve(&options, CookieSessionStore::default).await,
        "redis" => {
            let store = RedisSessionStore::new(options.redis_url()?).await;
            let store = store.map_err(|error| error.to_string())?;
            serve(&options, move || store.clone()).await
        }
        other => Err(format!("there is no driver `{other}`; accepted: cookie, redis")),
    }
}

async fn serve<S: SessionStore + 'static>(
    options: &Options,
    store: impl Fn() -> S + Clone + Send + 'static,
) -> Result<(), Failure> {
    let key = Key::generate();
    let app = move || {
        let middleware = SessionMiddleware::builder(store(), key.clone()).cookie_secure(false);
        App::new()
            .route("/none", web::get().to(async || "none"))
            .route("/login", web::get().to(login))
            .route("/read", web::get().to(read))
            .route("/write", web::get().to(write))
            .wrap(middleware.build())
    };
    let server = HttpServer::new(app).workers(1).listen(options.listen()?);
    server.map_err(|error| error.to_string())?.run().await.map_err(|error| error.to_string())
}

async fn login(session: Session) -> Result<&'static str, SessionInsertError> {
    session.insert("username", "virk")?;
    Ok("signed in")
}

async fn read(session: Session) -> Result<String, SessionGetError> {
    Ok(session.get::<String>("username")?.unwrap_or_default())
}

async fn write(session: Session) -> actix_web::Result<String> {
    let counter = session.get::<u64>("counter")?.unwrap_or(0) + 1;
    session.insert("counter", counter)?;
    Ok(counter.to_string())
}
