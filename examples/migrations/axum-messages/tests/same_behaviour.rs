//! The messages are alike before and after the migration, except where a test says so.

use from_axum_messages::{after, before};
use migrations_client::{Application, Browser};

const SAVED: &str = "Success: The page is saved.\nInfo: A copy is on its way.\n";
const NOT_REMOVED: &str = "Debug: Three links lead to the page.\n\
    Warning: The links are dead.\n\
    Error: The page is not removed.\n\
    Error: Remove the links first.\n";

async fn messages_are_shown_once_in_order(app: impl Application) {
    let mut visitor = Browser::new(app);
    visitor.get("/").await.assert_page("");
    visitor.post("/save", &[]).await.assert_redirect("/");
    visitor.get("/").await.assert_page(SAVED);
    visitor.get("/").await.assert_page("");
    visitor.post("/remove", &[]).await.assert_redirect("/");
    visitor.get("/").await.assert_page(NOT_REMOVED);
    visitor.get("/").await.assert_page("");
}

#[tokio::test]
async fn before() {
    messages_are_shown_once_in_order(before::app(before::sessions())).await;
}

#[tokio::test]
async fn after() {
    messages_are_shown_once_in_order(after::app(after::sessions().unwrap())).await;
}

/// A form that is sent twice before the page is shown, or one of another tab.
#[tokio::test]
async fn a_second_form_drops_the_waiting_messages_before_only() {
    let mut visitor = Browser::new(before::app(before::sessions()));
    visitor.post("/save", &[]).await.assert_redirect("/");
    visitor.post("/remove", &[]).await.assert_redirect("/");
    visitor.get("/").await.assert_page(NOT_REMOVED);
    let mut visitor = Browser::new(after::app(after::sessions().unwrap()));
    visitor.post("/save", &[]).await.assert_redirect("/");
    visitor.post("/remove", &[]).await.assert_redirect("/");
    visitor.get("/").await.assert_page(&format!("{SAVED}{NOT_REMOVED}"));
}
