//! The sign-in behaves alike before and after the migration, except where a test says so.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use axum::Router;
use cloakroom::{AppKeys, MemoryStore};
use from_axum_login::{accounts::Accounts, after, before};
use migrations_client::Browser;

const RIGHT: [(&str, &str); 2] = [("name", "virk"), ("password", "correct horse")];
const WRONG: [(&str, &str); 2] = [("name", "virk"), ("password", "battery")];

fn accounts() -> Accounts {
    let accounts = Accounts::default();
    accounts.put("virk", "Virk Roy", "correct horse");
    accounts
}

fn app_before(accounts: &Accounts) -> Router {
    before::app(accounts, before::sessions(tower_sessions::MemoryStore::default()))
}

fn app_after(accounts: &Accounts) -> Router {
    let sessions = after::sessions(accounts, MemoryStore::new(), AppKeys::random());
    after::app(accounts, sessions.build().unwrap())
}

async fn a_user_signs_in_and_out(app: Router) {
    let mut user = Browser::new(app);
    let page = user.get("/account?tab=orders").await.assert_redirect("/sign-in");
    user.get(&page).await.assert_lacks("<p>");

    let page = user.post(&page, &WRONG).await.assert_redirect("/sign-in");
    let shown = user.get(&page).await;
    shown.assert_contains("<p>The name or the password is wrong.</p>");
    shown.assert_contains(r#"value="virk""#);
    shown.assert_lacks("battery");
    user.get(&page).await.assert_lacks("<p>");

    let page = user.post(&page, &RIGHT).await.assert_redirect("/account");
    assert_eq!(page, "/account?tab=orders");
    user.get(&page).await.assert_page("Signed in as Virk Roy.");

    user.post("/sign-out", &[]).await.assert_redirect("/sign-in");
    user.get("/account").await.assert_redirect("/sign-in");
}

async fn a_new_password_ends_the_session(app: Router, accounts: &Accounts) {
    let mut user = Browser::new(app);
    user.post("/sign-in", &RIGHT).await.assert_redirect("/account");
    user.get("/account").await.assert_page("Signed in as Virk Roy.");
    accounts.put("virk", "Virk Roy", "battery");
    user.get("/account").await.assert_redirect("/sign-in");
    user.post("/sign-in", &WRONG).await.assert_redirect("/account");
    user.get("/account").await.assert_page("Signed in as Virk Roy.");
}

#[tokio::test]
async fn before() {
    let accounts = accounts();
    a_user_signs_in_and_out(app_before(&accounts)).await;
    a_new_password_ends_the_session(app_before(&accounts), &accounts).await;
}

#[tokio::test]
async fn after() {
    let accounts = accounts();
    a_user_signs_in_and_out(app_after(&accounts)).await;
    a_new_password_ends_the_session(app_after(&accounts), &accounts).await;
}

/// axum-login repeats the method of the request at the sign-in page. cloakroom asks for the page with `GET`.
#[tokio::test]
async fn the_redirects_differ() {
    let before = Browser::new(app_before(&accounts())).get("/account?tab=orders").await;
    assert_eq!(before.status, 307);
    assert_eq!(before.header("location"), Some("/sign-in?next=%2Faccount%3Ftab%3Dorders"));
    let after = Browser::new(app_after(&accounts())).get("/account?tab=orders").await;
    assert_eq!(after.status, 303);
    assert_eq!(after.header("location"), Some("/sign-in"));
}
