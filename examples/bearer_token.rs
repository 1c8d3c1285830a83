//! An API whose clients have no cookies: the token is handed out at sign-in and comes back in
//! `Authorization: Bearer`. Pages beside it go on with cookies, over the same store.

use axum::{
    Json, Router,
    http::StatusCode,
    routing::{get, post},
};
use cloakroom::{Error, Input, Owner, Session, Sessions, axum::SessionLayer};
use serde_json::{Value, json};

#[tokio::main]
async fn main() -> std::io::Result<()> {
    cloakroom_examples::serve(app(&cloakroom_examples::sessions())).await
}

fn app(sessions: &Sessions) -> Router {
    let api = sessions.bearer().unwrap_or_else(|error| panic!("a store is behind it: {error}"));
    let api = Router::new()
        .route("/sign-in", post(sign_in))
        .route("/me", get(me))
        .route("/sign-out", post(sign_out))
        .layer(SessionLayer::new(api));
    let pages = Router::new().route("/", get(page)).layer(SessionLayer::new(sessions.clone()));
    Router::new().nest("/api", api).merge(pages)
}

#[derive(serde::Deserialize)]
struct Credentials {
    user: String,
    password: String,
}

async fn sign_in(session: Session, input: Input<Credentials>) -> Result<Json<Value>, Error> {
    let Credentials { user, .. } = input.check(|form| match form.password.as_str() {
        "guest" => Ok(()),
        _ => Err([("password", "is not the password")]),
    })?;
    session.sign_in(user)?;
    Ok(Json(json!({ "token": session.bearer_token()? })))
}

async fn me(owner: Owner) -> Json<Value> {
    Json(json!({ "user": &*owner }))
}

async fn sign_out(session: Session) -> Result<StatusCode, Error> {
    session.sign_out()?;
    Ok(StatusCode::NO_CONTENT)
}

async fn page(session: Session) -> Result<String, Error> {
    Ok(session.increment("visits")?.to_string())
}

#[cfg(test)]
mod tests {
    use cloakroom::axum::testing::client;

    use super::*;
    use cloakroom_examples::sessions;

    #[tokio::test]
    async fn a_client_signs_in_goes_on_and_out_without_a_cookie() {
        let sessions = sessions();
        let api = sessions.bearer().unwrap();
        let mut guest = client(app(&sessions), &api);
        let wrong = json!({ "user": "virk", "password": "x" });
        let refused = guest.post("/api/sign-in").json(wrong).send().await;
        refused.assert_status(422);
        assert_eq!(refused.json::<Value>()["errors"]["password"][0], "is not the password");

        let right = json!({ "user": "virk", "password": "guest" });
        let answer = guest.post("/api/sign-in").json(right).send().await;
        assert_eq!(
            (answer.header("set-cookie"), answer.header("cache-control")),
            (None, Some("no-store"))
        );
        let token = answer.json::<Value>()["token"].as_str().unwrap().to_owned();
        let mut virk = client(app(&sessions), &api).with_bearer(&token);
        let me = virk.get("/api/me").send().await;
        assert_eq!(me.json::<Value>(), json!({ "user": "virk" }));
        assert_eq!(me.header("vary"), Some("Authorization"));
        virk.post("/api/sign-out").send().await.assert_status(204).assert_signed_out();
        let signed_out = virk.get("/api/me").send().await;
        assert_eq!(signed_out.assert_status(401).header("www-authenticate"), Some("Bearer"));
    }

    #[tokio::test]
    async fn a_cookie_does_not_open_the_api_nor_a_bearer_the_pages() {
        let sessions = sessions();
        let mut visitor = client(app(&sessions), &sessions).signed_in_as("virk");
        visitor.get("/").send().await.assert_session("visits", 1);
        visitor.get("/api/me").send().await.assert_status(401);
        let api = sessions.bearer().unwrap();
        let mut client = client(app(&sessions), &api).signed_in_as("virk");
        client.get("/api/me").send().await.assert_status(200);
        for _ in 0..2 {
            assert_eq!(client.get("/").send().await.text(), "1", "a new visitor each time");
        }
    }
}
