//! Passwords: Argon2 in front of `sign_in`, and a change of the password that signs out everywhere else.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use argon2::{Argon2, PasswordHasher, PasswordVerifier, password_hash::phc::PasswordHash};
use axum::{Router, extract::State, response::Redirect, routing::get};
use cloakroom::{
    AppKeys, CurrentUser, Error, Input, MemoryStore, RequireOwner, SeeOther, Session, Sessions,
    SignIn, Users, axum::SessionLayer, cookie::CookieSettings, form::FieldErrors,
};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let accounts = Accounts::default();
    accounts.set_password("virk", hash("correct horse".to_owned()).await);
    cloakroom_examples::serve(app(&accounts, &sessions(&accounts))).await
}

fn app(accounts: &Accounts, sessions: &Sessions) -> Router {
    let for_users = Router::new()
        .route("/account", get(async |user: CurrentUser<User>| user.name.clone()))
        .route("/password", get(async || "The new password, please.").post(change_password))
        .layer(RequireOwner::new());
    Router::new()
        .route("/sign-in", get(async || "Name and password, please.").post(sign_in))
        .merge(for_users)
        .with_state(accounts.clone())
        .layer(SessionLayer::new(sessions.clone()))
}

fn sessions(accounts: &Accounts) -> Sessions {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
        .cookie_settings(CookieSettings::development())
        .sign_in_page("/sign-in")
        .users(accounts.clone());
    sessions.build().unwrap_or_else(|error| panic!("the settings are valid: {error}"))
}

struct User {
    name: String,
    password_hash: String,
}

/// In place of a table: the hash of each user's password.
#[derive(Clone, Default)]
struct Accounts(Arc<Mutex<HashMap<String, String>>>);

impl Accounts {
    fn find(&self, name: &str) -> Option<User> {
        let accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let password_hash = accounts.get(name)?.clone();
        Some(User { name: name.to_owned(), password_hash })
    }

    fn set_password(&self, name: &str, hash: String) {
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        accounts.insert(name.to_owned(), hash);
    }
}

impl Users for Accounts {
    type User = User;
    type Error = Infallible; // a database has one

    async fn user(&self, owner: &str) -> Result<Option<User>, Infallible> {
        Ok(self.find(owner))
    }

    /// Another hash ends every session that signed in with this one.
    fn stamp<'u>(&self, user: &'u User) -> Option<&'u [u8]> {
        Some(user.password_hash.as_bytes())
    }
}

/// Hashes a password. On a thread for blocking work, because it takes a processor for a while.
async fn hash(password: String) -> String {
    let hash = blocking(move || Argon2::default().hash_password(password.as_bytes())).await;
    hash.unwrap_or_else(|error| panic!("the default parameters are valid: {error}")).to_string()
}

/// Checks a password. Takes as long for a user who does not exist.
async fn is_right(password: String, user: Option<&User>) -> bool {
    const NOBODY: &str =
        "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let hash = user.map_or(NOBODY, |user| &user.password_hash).to_owned();
    blocking(move || {
        let hash = PasswordHash::new(&hash);
        hash.is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| panic!("{error}"))
}

#[derive(serde::Deserialize)]
struct Credentials {
    name: String,
    password: String,
}

async fn sign_in(
    State(accounts): State<Accounts>,
    session: Session,
    input: Input<Credentials>,
) -> Result<SeeOther, Error> {
    let Credentials { name, password } = input.fallback("/sign-in").valid()?;
    let user = accounts.find(&name);
    if !is_right(password, user.as_ref()).await {
        // One message, so that it does not tell which names exist.
        session.with_errors(FieldErrors::from_iter([("name", "or the password is wrong")]))?;
        return Ok(SeeOther::to("/sign-in"));
    }
    let stamp = user.map(|user| user.password_hash).unwrap_or_default();
    session.sign_in(SignIn::of(name).stamp(stamp))?;
    session.redirect_intended("/account")
}

#[derive(serde::Deserialize)]
struct NewPassword {
    password: String,
}

async fn change_password(
    user: CurrentUser<User>,
    State(accounts): State<Accounts>,
    session: Session,
    input: Input<NewPassword>,
) -> Result<Redirect, Error> {
    let hash = hash(input.valid()?.password).await;
    accounts.set_password(&user.name, hash.clone());
    session.set_owner_stamp(hash)?; // this session stays signed in, the others do not
    Ok(Redirect::to("/account"))
}

#[cfg(test)]
mod tests {
    use cloakroom::axum::testing::{InProcess, TestClient, client};

    use super::*;

    async fn visitor() -> (TestClient<InProcess<Router>>, TestClient<InProcess<Router>>) {
        let accounts = Accounts::default();
        accounts.set_password("virk", hash("correct horse".to_owned()).await);
        let sessions = sessions(&accounts);
        let app = app(&accounts, &sessions);
        (client(app.clone(), &sessions), client(app, &sessions))
    }

    #[tokio::test]
    async fn a_change_of_the_password_signs_out_everywhere_else() {
        let (mut here, mut there) = visitor().await;
        let right = [("name", "virk"), ("password", "correct horse")];
        here.get("/password").send().await.assert_redirect("/sign-in");
        here.post("/sign-in").form(&right).send().await.assert_redirect("/password");
        there.post("/sign-in").form(&right).send().await.assert_redirect("/account");
        assert_eq!(there.get("/account").send().await.text(), "virk");
        here.post("/password").form(&[("password", "battery")]).send().await;
        assert_eq!(here.get("/account").send().await.text(), "virk");
        there.get("/account").send().await.assert_redirect("/sign-in").assert_signed_out();
        let battery = [("name", "virk"), ("password", "battery")];
        there.post("/sign-in").form(&right).send().await.assert_redirect("/sign-in");
        there.post("/sign-in").form(&battery).send().await.assert_redirect("/account");
    }

    #[tokio::test]
    async fn a_wrong_name_and_a_wrong_password_look_alike() {
        let (mut visitor, _) = visitor().await;
        for (name, password) in [("virk", "wrong"), ("nobody", "correct horse")] {
            let form = [("name", name), ("password", password)];
            let refused = visitor.post("/sign-in").form(&form).send().await;
            refused.assert_redirect("/sign-in").assert_signed_out();
            refused.assert_error_for("name", "or the password is wrong");
        }
    }
}
