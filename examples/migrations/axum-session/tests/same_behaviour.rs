//! The shop behaves alike before and after the migration.

use from_axum_session::{after, before};
use migrations_client::{Application, Browser};

async fn a_visitor_shops(app: impl Application) {
    let mut visitor = Browser::new(app);
    visitor.get("/").await.assert_page("visit number 1");
    visitor.get("/").await.assert_page("visit number 2");
    visitor.post("/cart", &[("item", "tea")]).await.assert_redirect("/cart");
    visitor.post("/cart", &[("item", "milk")]).await.assert_redirect("/cart");
    visitor.get("/cart").await.assert_page("in the cart: tea, milk");
    visitor.post("/order", &[]).await.assert_page("ordered: tea, milk");
    visitor.get("/cart").await.assert_page("in the cart: ");
    visitor.get("/").await.assert_page("visit number 3");
    visitor.post("/leave", &[]).await.assert_redirect("/");
    visitor.get("/").await.assert_page("visit number 1");
}

#[tokio::test]
async fn before() {
    a_visitor_shops(before::app(before::sessions().await.unwrap())).await;
}

#[tokio::test]
async fn after() {
    a_visitor_shops(after::app(after::sessions().unwrap())).await;
}

/// A session of `axum_session` that a page only reads is in the store, with a cookie.
#[tokio::test]
async fn a_page_without_values_sets_a_cookie_before_only() {
    let mut visitor = Browser::new(before::app(before::sessions().await.unwrap()));
    assert!(visitor.get("/cart").await.header("set-cookie").is_some());
    let mut visitor = Browser::new(after::app(after::sessions().unwrap()));
    assert!(visitor.get("/cart").await.header("set-cookie").is_none());
}

/// `axum_session` adopts an id that it did not issue.
#[tokio::test]
async fn a_planted_id_is_adopted_before_only() {
    let planted = "b3a0c4d2-6c1f-4d3a-9e58-0f6f5e2f7a11";
    let mut visitor = Browser::new(before::app(before::sessions().await.unwrap()));
    visitor.set_cookie("session", planted);
    visitor.get("/").await.assert_page("visit number 1");
    assert_eq!(visitor.cookie("session"), Some(planted));
    let mut visitor = Browser::new(after::app(after::sessions().unwrap()));
    visitor.set_cookie("__Host-Http-session", planted);
    visitor.get("/").await.assert_page("visit number 1");
    assert_ne!(visitor.cookie("__Host-Http-session"), Some(planted));
}
