//! The sign-in on axum-login, axum-messages and tower-sessions.

use std::convert::Infallible;

use axum::{
    Form, Router,
    extract::{OriginalUri, Query},
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use axum_login::{
    AuthManagerLayerBuilder, AuthSession, AuthUser, AuthnBackend, UserId, login_required,
};
use axum_messages::{Messages, MessagesManagerLayer};
use tower_sessions::{Session, SessionManagerLayer, SessionStore, session};

use crate::{
    accounts::{Account, Accounts, Credentials},
    page,
};

/// Sets the sessions up.
pub fn sessions<S: SessionStore>(store: S) -> SessionManagerLayer<S> {
    SessionManagerLayer::new(store)
}

/// Makes the application.
pub fn app<S: SessionStore + Clone>(
    accounts: &Accounts,
    sessions: SessionManagerLayer<S>,
) -> Router {
    let for_users = Router::new()
        .route("/account", get(account))
        .route_layer(login_required!(Accounts, login_url = "/sign-in"));
    Router::new()
        .route("/sign-in", get(sign_in_page).post(sign_in))
        .route("/sign-out", post(sign_out))
        .merge(for_users)
        .layer(MessagesManagerLayer)
        .layer(AuthManagerLayerBuilder::new(accounts.clone(), sessions).build())
}

impl AuthUser for Account {
    type Id = String;

    fn id(&self) -> String {
        self.name.clone()
    }

    fn session_auth_hash(&self) -> &[u8] {
        self.password.as_bytes()
    }
}

impl AuthnBackend for Accounts {
    type User = Account;
    type Credentials = Credentials;
    type Error = Infallible;

    async fn authenticate(&self, form: Credentials) -> Result<Option<Account>, Infallible> {
        Ok(self.check(&form))
    }

    async fn get_user(&self, id: &UserId<Self>) -> Result<Option<Account>, Infallible> {
        Ok(self.find(id))
    }
}

async fn account(auth: AuthSession<Accounts>) -> Result<String, StatusCode> {
    let user = auth.user.ok_or(StatusCode::UNAUTHORIZED)?;
    Ok(format!("Signed in as {}.", user.full_name))
}

async fn sign_in_page(session: Session, messages: Messages) -> Result<Html<String>, Failure> {
    let name = session.remove::<String>("old_name").await?.unwrap_or_default();
    Ok(page::sign_in_page(messages.map(|message| message.to_string()), &name))
}

async fn sign_in(
    mut auth: AuthSession<Accounts>,
    session: Session,
    messages: Messages,
    OriginalUri(page): OriginalUri,
    Query(intended): Query<Intended>,
    Form(form): Form<Credentials>,
) -> Result<Redirect, Failure> {
    let name = form.name.clone();
    let Some(user) = auth.authenticate(form).await? else {
        messages.error("The name or the password is wrong.");
        session.insert("old_name", name).await?;
        return Ok(Redirect::to(&page.to_string()));
    };
    auth.login(&user).await?;
    Ok(Redirect::to(intended.local_page().unwrap_or("/account")))
}

async fn sign_out(mut auth: AuthSession<Accounts>) -> Result<Redirect, Failure> {
    auth.logout().await?;
    Ok(Redirect::to("/sign-in"))
}

/// The page that the user wanted, from the query that `login_required!` adds.
#[derive(serde::Deserialize)]
struct Intended {
    next: Option<String>,
}

impl Intended {
    /// Returns the page if it is on this site, because anyone can make a link with another one.
    fn local_page(&self) -> Option<&str> {
        let next = self.next.as_deref()?;
        let is_local = next.starts_with('/') && !next.starts_with("//") && !next.contains('\\');
        is_local.then_some(next)
    }
}

/// An error of the session or of the users as a response.
struct Failure(axum_login::Error<Accounts>);

impl From<axum_login::Error<Accounts>> for Failure {
    fn from(error: axum_login::Error<Accounts>) -> Self {
        Self(error)
    }
}

impl From<session::Error> for Failure {
    fn from(error: session::Error) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.0.to_string()).into_response()
    }
}
