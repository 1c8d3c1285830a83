//! The sign-in behaves alike before and after the migration.

use actix_session::storage::CookieSessionStore;
use actix_web::cookie::Key;
use cloakroom::{AppKeys, MemoryStore};
use from_actix_identity::{after, before};
use migrations_client::{Application, Browser, actix};

const RIGHT: [(&str, &str); 2] = [("name", "virk"), ("password", "correct horse")];
const WRONG: [(&str, &str); 2] = [("name", "virk"), ("password", "battery")];

async fn a_user_signs_in_and_out(app: impl Application) {
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
    user.get(&page).await.assert_page("Signed in as virk.");

    user.post("/sign-out", &[]).await.assert_redirect("/sign-in");
    user.get("/account").await.assert_redirect("/sign-in");
}

#[actix_web::test]
async fn before() {
    let sessions = before::sessions(CookieSessionStore::default(), Key::generate());
    a_user_signs_in_and_out(actix(before::app(sessions)).await).await;
}

#[actix_web::test]
async fn after() {
    let sessions = after::sessions(MemoryStore::new(), AppKeys::random()).build().unwrap();
    a_user_signs_in_and_out(actix(after::app(sessions)).await).await;
}
