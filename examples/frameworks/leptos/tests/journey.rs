//! A visitor's way through the pages and the server functions.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::sync::LazyLock;

use axum::Router;
use cloakroom::{
    AppKeys, MemoryStore, Sessions,
    axum::testing::{InProcess, TestClient, TestResponse, client},
    cookie::CookieSettings,
};

type Visitor = TestClient<InProcess<Router>>;

/// Two browsers without cookies. The tests share one application, because pages of Leptos sometimes never end
/// if another application of the process lists its routes in the meantime.
fn visitors() -> [Visitor; 2] {
    static APP: LazyLock<(Router, Sessions)> = LazyLock::new(|| {
        let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random());
        let sessions = sessions.cookie_settings(CookieSettings::development()).build().unwrap();
        (leptos_app::app(&sessions), sessions)
    });
    let (app, sessions) = &*APP;
    [(); 2].map(|()| client(app.clone(), sessions))
}

async fn page(visitor: &mut Visitor, path: &str) -> TestResponse {
    let request = visitor.get(path).header("sec-fetch-mode", "navigate");
    request.header("accept", "text/html").send().await
}

/// Posts a form of a page as a browser without scripts does.
async fn submit(visitor: &mut Visitor, path: &str, form: &[(&str, &str)]) -> TestResponse {
    let request = visitor.post(path).header("sec-fetch-site", "same-origin");
    let request = request.header("sec-fetch-mode", "navigate").header("accept", "text/html");
    request.header("referer", "http://localhost/").form(form).send().await
}

/// Calls a server function as a script does.
async fn call(visitor: &mut Visitor, path: &str, arguments: &[(&str, &str)]) -> TestResponse {
    let request = visitor.post(path).header("sec-fetch-site", "same-origin");
    let request = request.header("sec-fetch-mode", "cors").header("accept", "application/json");
    request.form(arguments).send().await
}

/// The pair of name and token that a response sets.
fn cookie(response: &TestResponse) -> String {
    let line = response.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {response}"));
    line.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_note_is_in_the_streamed_page_and_its_message_once() {
    let [mut visitor, _] = visitors();
    let first = page(&mut visitor, "/").await;
    assert!(first.text().contains("guest"), "{first}");
    assert_eq!(first.header("set-cookie"), None, "a visitor who only reads gets no cookie");
    assert_eq!(first.header("vary"), Some("Cookie"));

    let saved = submit(&mut visitor, "/api/note", &[("text", "milk")]).await;
    // Leptos takes the errors of earlier calls out of the query, and leaves the question mark.
    saved.assert_redirect("http://localhost/?").assert_flash("notice", "Saved.");
    let next = page(&mut visitor, "/").await.text();
    assert!(next.contains("milk") && next.contains("Saved."), "{next}");
    let again = page(&mut visitor, "/").await.text();
    assert!(again.contains("milk") && !again.contains("Saved."), "{again}");
}

#[tokio::test]
async fn a_script_reads_the_message_once_as_well() {
    let [mut visitor, _] = visitors();
    call(&mut visitor, "/api/note", &[("text", "milk")]).await.assert_status(200);
    let shown = call(&mut visitor, "/api/overview", &[]).await.text();
    assert_eq!(shown, r#"{"user":null,"note":"milk","notice":"Saved."}"#);
    let again = call(&mut visitor, "/api/overview", &[]).await.text();
    assert_eq!(again, r#"{"user":null,"note":"milk","notice":""}"#);
}

#[tokio::test]
async fn a_sign_in_changes_the_token_and_leads_on() {
    let [mut visitor, _] = visitors();
    let before = submit(&mut visitor, "/api/note", &[("text", "milk")]).await;
    page(&mut visitor, "/account").await.assert_redirect("/");
    let wrong = call(&mut visitor, "/api/sign-in", &[("user", "virk"), ("password", "x")]).await;
    wrong.assert_status(500).assert_signed_out();
    assert_eq!(wrong.text(), r#""WrongPassword""#);

    let form = [("user", "virk"), ("password", "guest")];
    let after = submit(&mut visitor, "/api/sign-in", &form).await;
    after.assert_redirect("/account").assert_signed_in_as("virk");
    assert_ne!(cookie(&before), cookie(&after));
    let account = page(&mut visitor, "/account").await;
    account.assert_status(200);
    assert!(account.text().contains("virk"), "{account}");
    assert!(page(&mut visitor, "/").await.text().contains("milk"));
}

#[tokio::test]
async fn a_forged_call_is_refused() {
    let [mut visitor, _] = visitors();
    submit(&mut visitor, "/api/note", &[("text", "milk")]).await;
    let forged = visitor.post("/api/note").header("sec-fetch-site", "cross-site");
    let forged = forged.form(&[("text", "theirs")]).send().await;
    forged.assert_status(403).assert_session("note", "milk");
}

#[tokio::test]
async fn a_sign_out_ends_every_copy_of_the_cookie() {
    let [mut visitor, mut thief] = visitors();
    let form = [("user", "virk"), ("password", "guest")];
    let copy = cookie(&submit(&mut visitor, "/api/sign-in", &form).await);
    let account = thief.get("/account").header("accept", "text/html").header("cookie", &copy);
    account.send().await.assert_status(200);
    submit(&mut visitor, "/api/sign-out", &[]).await.assert_redirect("/").assert_signed_out();
    let account = thief.get("/account").header("accept", "text/html").header("cookie", &copy);
    account.send().await.assert_redirect("/");
}
