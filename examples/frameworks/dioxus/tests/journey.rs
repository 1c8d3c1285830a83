//! A visitor's way through the page and the server functions.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use cloakroom::{
    AppKeys, MemoryStore, Sessions,
    axum::testing::{InProcess, TestClient, TestResponse, client},
    cookie::CookieSettings,
};
use dioxus::server::axum::Router;
use serde_json::{Value, json};

type Visitor = TestClient<InProcess<Router>>;

/// Two browsers without cookies.
fn visitors() -> [Visitor; 2] {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
    let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
    [(); 2].map(|()| client(dioxus_app::app(&sessions), &sessions))
}

async fn page(visitor: &mut Visitor) -> TestResponse {
    let request = visitor.get("/").header("sec-fetch-mode", "navigate");
    request.header("accept", "text/html").send().await
}

/// Calls a server function as a script does.
async fn call(visitor: &mut Visitor, path: &str, arguments: Value) -> TestResponse {
    let request = visitor.post(path).header("sec-fetch-site", "same-origin");
    request.header("sec-fetch-mode", "cors").json(arguments).send().await
}

/// Reads who is signed in.
async fn account(visitor: &mut Visitor) -> TestResponse {
    let request = visitor.get("/api/account").header("sec-fetch-mode", "cors");
    request.header("accept", "application/json").send().await
}

/// The pair of name and token that a response sets.
fn cookie(response: &TestResponse) -> String {
    let line = response.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {response}"));
    line.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_note_is_in_the_next_page_and_its_message_once() {
    let [mut visitor, _] = visitors();
    let first = page(&mut visitor).await;
    assert!(first.text().contains("guest"), "{first}");
    assert_eq!(first.header("set-cookie"), None, "a visitor who only reads gets no cookie");
    assert_eq!(first.header("vary"), Some("Cookie"));

    let saved = call(&mut visitor, "/api/note", json!({ "text": "milk" })).await;
    saved.assert_status(200).assert_flash("notice", "Saved.");
    let next = page(&mut visitor).await.text();
    assert!(next.contains("milk") && next.contains("Saved."), "{next}");
    let again = page(&mut visitor).await.text();
    assert!(again.contains("milk") && !again.contains("Saved."), "{again}");
}

#[tokio::test]
async fn a_sign_in_changes_the_token() {
    let [mut visitor, _] = visitors();
    let refused = account(&mut visitor).await;
    refused.assert_status(401);
    assert_eq!(refused.json::<Value>()["code"], "not_signed_in");
    let before = call(&mut visitor, "/api/note", json!({ "text": "milk" })).await;
    let wrong = json!({ "user": "virk", "password": "x" });
    call(&mut visitor, "/api/sign-in", wrong).await.assert_status(401).assert_signed_out();

    let right = json!({ "user": "virk", "password": "guest" });
    let after = call(&mut visitor, "/api/sign-in", right).await;
    after.assert_status(200).assert_signed_in_as("virk");
    assert_ne!(cookie(&before), cookie(&after));
    assert_eq!(account(&mut visitor).await.json::<Value>(), "virk");
    let page = page(&mut visitor).await.text();
    assert!(page.contains("virk") && page.contains("milk"), "{page}");
}

#[tokio::test]
async fn a_forged_call_is_refused() {
    let [mut visitor, _] = visitors();
    call(&mut visitor, "/api/note", json!({ "text": "milk" })).await;
    let forged = visitor.post("/api/note").header("sec-fetch-site", "cross-site");
    let forged = forged.json(json!({ "text": "theirs" })).send().await;
    forged.assert_status(403).assert_session("note", "milk");
}

#[tokio::test]
async fn a_sign_out_ends_every_copy_of_the_cookie() {
    let [mut visitor, mut thief] = visitors();
    let right = json!({ "user": "virk", "password": "guest" });
    let copy = cookie(&call(&mut visitor, "/api/sign-in", right).await);
    thief.get("/api/account").header("cookie", &copy).send().await.assert_status(200);
    let ended = call(&mut visitor, "/api/sign-out", json!({})).await;
    ended.assert_status(200).assert_signed_out();
    thief.get("/api/account").header("cookie", &copy).send().await.assert_status(401);
}
