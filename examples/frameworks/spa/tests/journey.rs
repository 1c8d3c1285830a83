//! A visitor's way through the API.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use axum::Router;
use cloakroom::{
    AppKeys, MemoryStore, Sessions,
    axum::testing::{InProcess, TestClient, TestResponse, client},
    cookie::CookieSettings,
};
use serde_json::{Value, json};

type Visitor = TestClient<InProcess<Router>>;

/// Two browsers without cookies.
fn visitors() -> [Visitor; 2] {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
    [(); 2].map(|()| client(spa_app::app(&sessions), &sessions))
}

/// Sends JSON from a page of this site.
async fn send(visitor: &mut Visitor, method: &str, path: &str, body: Value) -> TestResponse {
    let request = visitor.request(method, path).header("sec-fetch-site", "same-origin");
    request.header("accept", "application/json").json(body).send().await
}

async fn get(visitor: &mut Visitor, path: &str) -> TestResponse {
    visitor.get(path).header("accept", "application/json").send().await
}

/// The pair of name and token that a response sets.
fn cookie(response: &TestResponse) -> String {
    let line = response.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {response}"));
    line.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_draft_is_there_at_the_next_request() {
    let [mut visitor, _] = visitors();
    let first = get(&mut visitor, "/api/session").await;
    assert_eq!(first.json::<Value>(), json!({ "user": null, "draft": "", "messages": [] }));
    assert_eq!(first.header("set-cookie"), None, "a visitor who only reads gets no cookie");

    let draft = json!({ "text": "Dear all" });
    send(&mut visitor, "PUT", "/api/draft", draft).await.assert_status(204);
    let next = get(&mut visitor, "/api/session").await;
    assert_eq!(next.json::<Value>()["draft"], "Dear all");
    assert_eq!(next.header("cache-control"), Some("no-store"));
    assert_eq!(next.header("vary"), Some("Cookie"));

    let long = send(&mut visitor, "PUT", "/api/draft", json!({ "text": "x".repeat(501) })).await;
    long.assert_status(422).assert_session("draft", "Dear all");
    assert_eq!(long.json::<Value>()["errors"]["text"][0], "has more than 500 characters");
}

#[tokio::test]
async fn a_sign_in_changes_the_token_and_greets_once() {
    let [mut visitor, _] = visitors();
    let refused = get(&mut visitor, "/api/account").await;
    refused.assert_status(401);
    assert_eq!(refused.json::<Value>()["code"], "not_signed_in");
    let before = send(&mut visitor, "PUT", "/api/draft", json!({ "text": "Dear all" })).await;

    let wrong = json!({ "user": "virk", "password": "x" });
    let wrong = send(&mut visitor, "POST", "/api/session", wrong).await;
    wrong.assert_status(422).assert_signed_out();
    assert_eq!(wrong.json::<Value>()["errors"]["password"][0], "is not the password");

    let right = json!({ "user": "virk", "password": "guest" });
    let after = send(&mut visitor, "POST", "/api/session", right).await;
    after.assert_status(204).assert_signed_in_as("virk");
    assert_ne!(cookie(&before), cookie(&after));
    let overview = get(&mut visitor, "/api/session").await.json::<Value>();
    assert_eq!(
        overview,
        json!({
            "user": "virk",
            "draft": "Dear all",
            "messages": [{ "level": "success", "text": "Welcome, virk!" }],
        })
    );
    assert_eq!(get(&mut visitor, "/api/session").await.json::<Value>()["messages"], json!([]));
    let account = get(&mut visitor, "/api/account").await;
    assert_eq!(account.json::<Value>(), json!({ "user": "virk" }));
}

#[tokio::test]
async fn a_page_of_another_site_can_send_nothing() {
    let [mut visitor, _] = visitors();
    send(&mut visitor, "PUT", "/api/draft", json!({ "text": "mine" })).await;
    for site in ["cross-site", "same-site"] {
        let forged = visitor.request("PUT", "/api/draft").header("sec-fetch-site", site);
        let forged = forged.json(json!({ "text": "theirs" })).send().await;
        forged.assert_status(403).assert_session("draft", "mine");
        assert_eq!(forged.header("content-type"), Some("application/problem+json"));
    }
    // A form needs no permission of CORS, so its types are refused.
    let form = visitor.request("PUT", "/api/draft").header("sec-fetch-site", "same-origin");
    form.form(&[("text", "theirs")]).send().await.assert_status(415);
}

#[tokio::test]
async fn a_sign_out_ends_every_copy_of_the_cookie() {
    let [mut visitor, mut thief] = visitors();
    let right = json!({ "user": "virk", "password": "guest" });
    let copy = cookie(&send(&mut visitor, "POST", "/api/session", right).await);
    thief.get("/api/account").header("cookie", &copy).send().await.assert_status(200);
    let ended = send(&mut visitor, "DELETE", "/api/session", json!(null)).await;
    ended.assert_status(204).assert_signed_out();
    thief.get("/api/account").header("cookie", &copy).send().await.assert_status(401);
}
