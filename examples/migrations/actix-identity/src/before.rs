//! The sign-in on actix-identity and actix-session.

use actix_identity::{Identity, IdentityMiddleware};
use actix_session::{Session, SessionMiddleware, storage::SessionStore};
use actix_web::{
    HttpMessage, HttpRequest, Result,
    cookie::Key,
    dev::HttpServiceFactory,
    web::{self, Either, Form, Html, Redirect},
};

use crate::{Credentials, page};

/// Sets the sessions up.
pub fn sessions<S: SessionStore>(store: S, key: Key) -> SessionMiddleware<S> {
    SessionMiddleware::new(store, key)
}

/// Makes the application.
pub fn app(sessions: SessionMiddleware<impl SessionStore + 'static>) -> impl HttpServiceFactory {
    web::scope("")
        .route("/account", web::get().to(account))
        .route("/sign-in", web::get().to(sign_in_page))
        .route("/sign-in", web::post().to(sign_in))
        .route("/sign-out", web::post().to(sign_out))
        .wrap(IdentityMiddleware::default())
        .wrap(sessions)
}

async fn account(
    identity: Option<Identity>,
    session: Session,
    request: HttpRequest,
) -> Result<Either<String, Redirect>> {
    let Some(identity) = identity else {
        session.insert("intended", request.uri().to_string())?;
        return Ok(Either::Right(Redirect::to("/sign-in").see_other()));
    };
    Ok(Either::Left(format!("Signed in as {}.", identity.id()?)))
}

async fn sign_in_page(session: Session) -> Result<Html> {
    let messages = session.get::<Vec<String>>("messages")?.unwrap_or_default();
    let name = session.get::<String>("old_name")?.unwrap_or_default();
    session.remove("messages");
    session.remove("old_name");
    Ok(page::sign_in_page(messages, &name))
}

async fn sign_in(
    request: HttpRequest,
    session: Session,
    Form(form): Form<Credentials>,
) -> Result<Redirect> {
    if !form.are_right() {
        session.insert("messages", ["The name or the password is wrong."])?;
        session.insert("old_name", form.name)?;
        return Ok(Redirect::to("/sign-in").see_other());
    }
    Identity::login(&request.extensions(), form.name)?;
    let intended = session.get::<String>("intended")?;
    session.remove("intended");
    Ok(Redirect::to(intended.unwrap_or_else(|| "/account".to_owned())).see_other())
}

async fn sign_out(identity: Option<Identity>) -> Redirect {
    if let Some(identity) = identity {
        identity.logout();
    }
    Redirect::to("/sign-in").see_other()
}
