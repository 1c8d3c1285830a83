//! A visitor's way through the pages, with htmx and without.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use axum::Router;
use cloakroom::{
    AppKeys, MemoryStore, Sessions,
    axum::testing::{InProcess, TestClient, TestResponse, client},
    cookie::CookieSettings,
};

type Visitor = TestClient<InProcess<Router>>;

/// Two browsers without cookies.
fn visitors() -> [Visitor; 2] {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random())
        .cookie_settings(CookieSettings::development())
        .sign_in_page(htmx_app::SIGN_IN_PAGE)
        .build()
        .unwrap();
    [(); 2].map(|()| client(htmx_app::app(&sessions), &sessions))
}

/// Gets a page as a browser does when a visitor follows a link.
async fn page(visitor: &mut Visitor, path: &str) -> TestResponse {
    visitor.get(path).header("sec-fetch-mode", "navigate").send().await
}

/// Gets a fragment as htmx does.
async fn fragment(visitor: &mut Visitor, path: &str) -> TestResponse {
    let request = visitor.get(path).header("sec-fetch-mode", "cors");
    request.header("hx-request", "true").send().await
}

/// Posts a form as htmx does.
async fn post(visitor: &mut Visitor, path: &str, form: &[(&str, &str)]) -> TestResponse {
    let request = visitor.post(path).with_csrf_token().header("sec-fetch-site", "same-origin");
    let request = request.header("sec-fetch-mode", "cors").header("hx-request", "true");
    request.form(form).send().await
}

/// Posts a form as a browser does without htmx.
async fn submit(visitor: &mut Visitor, path: &str, form: &[(&str, &str)]) -> TestResponse {
    let request = visitor.post(path).with_csrf_token().header("sec-fetch-site", "same-origin");
    request.header("sec-fetch-mode", "navigate").form(form).send().await
}

/// The pair of name and token that a response sets.
fn cookie(response: &TestResponse) -> String {
    let line = response.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {response}"));
    line.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_fragment_shows_a_message_once() {
    let [mut visitor, _] = visitors();
    let first = page(&mut visitor, "/").await.text();
    assert!(first.contains("<html") && !first.contains("<li>"), "{first}");

    post(&mut visitor, "/tasks", &[("title", "Buy <milk>")]).await.assert_redirect("/");
    let list = fragment(&mut visitor, "/").await;
    assert_eq!(list.header("vary"), Some("HX-Request"));
    let list = list.text();
    assert!(list.contains("Added.") && list.contains("Buy &#60;milk&#62;"), "{list}");
    assert!(!list.contains("<html"), "{list}");
    let again = page(&mut visitor, "/").await.text();
    assert!(again.contains("<html") && again.contains("milk"), "{again}");
    assert!(!again.contains("Added."), "{again}");
}

#[tokio::test]
async fn a_poll_leaves_the_message_for_the_page() {
    let [mut visitor, _] = visitors();
    post(&mut visitor, "/tasks", &[("title", "milk")]).await;
    let poll = fragment(&mut visitor, "/count").await;
    assert_eq!(poll.text(), "1");
    poll.assert_flash("notice", "Added.");
    assert!(page(&mut visitor, "/").await.text().contains("Added."));
}

#[tokio::test]
async fn an_invalid_form_comes_back_as_a_fragment() {
    let [mut visitor, _] = visitors();
    let long = "x".repeat(41);
    let refused = post(&mut visitor, "/tasks", &[("title", &long)]).await;
    refused.assert_redirect("/").assert_error_for("title", "has more than 40 characters");
    let list = fragment(&mut visitor, "/").await.text();
    assert!(
        list.contains("<em>has more than 40 characters</em>") && list.contains(&long),
        "{list}"
    );
    assert!(!fragment(&mut visitor, "/").await.text().contains("<em>"));
}

#[tokio::test]
async fn a_fragment_for_members_loads_the_sign_in_page() {
    let [mut visitor, _] = visitors();
    let refused = fragment(&mut visitor, "/account").await;
    refused.assert_status(204);
    assert_eq!(refused.header("hx-redirect"), Some("/sign-in"));
    assert_eq!(refused.header("location"), None);
    page(&mut visitor, "/account").await.assert_redirect("/sign-in");
}

#[tokio::test]
async fn a_sign_in_changes_the_token_and_leads_on() {
    let [mut visitor, _] = visitors();
    let before = post(&mut visitor, "/tasks", &[("title", "milk")]).await;
    page(&mut visitor, "/account").await.assert_redirect("/sign-in");
    let wrong = [("user", "virk"), ("password", "x")];
    submit(&mut visitor, "/sign-in", &wrong).await.assert_redirect("/sign-in").assert_signed_out();
    let form = page(&mut visitor, "/sign-in").await.text();
    assert!(form.contains("is not the password") && form.contains("value=\"virk\""), "{form}");

    let after = submit(&mut visitor, "/sign-in", &[("user", "virk"), ("password", "guest")]).await;
    after.assert_redirect("/account").assert_signed_in_as("virk");
    assert_ne!(cookie(&before), cookie(&after));
    assert_eq!(page(&mut visitor, "/account").await.text(), "<p>Signed in as virk.</p>");
    let list = page(&mut visitor, "/").await.text();
    assert!(list.contains("Sign out, virk") && list.contains("milk"), "{list}");
}

#[tokio::test]
async fn a_forged_form_is_refused() {
    let [mut visitor, _] = visitors();
    post(&mut visitor, "/tasks", &[("title", "milk")]).await;
    let forged = visitor.post("/tasks").header("sec-fetch-site", "cross-site").with_csrf_token();
    forged.form(&[("title", "theirs")]).send().await.assert_status(403);
    let untokened = visitor.post("/tasks").header("sec-fetch-site", "same-origin");
    untokened.form(&[("title", "theirs")]).send().await.assert_status(403);
    assert_eq!(fragment(&mut visitor, "/count").await.text(), "1");
}

#[tokio::test]
async fn a_sign_out_ends_every_copy_of_the_cookie() {
    let [mut visitor, mut thief] = visitors();
    let signed_in =
        submit(&mut visitor, "/sign-in", &[("user", "virk"), ("password", "guest")]).await;
    let copy = cookie(&signed_in);
    thief.get("/account").header("cookie", &copy).send().await.assert_status(200);
    submit(&mut visitor, "/sign-out", &[]).await.assert_redirect("/").assert_signed_out();
    thief.get("/account").header("cookie", &copy).send().await.assert_redirect("/sign-in");
}
