//! The shop behaves alike before and after the migration.

use cloakroom::{AppKeys, MemoryStore};
use from_tower_sessions::{after, before};
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
    a_visitor_shops(before::app(before::sessions(tower_sessions::MemoryStore::default()))).await;
}

#[tokio::test]
async fn after() {
    let sessions = after::sessions(MemoryStore::new(), AppKeys::random()).build().unwrap();
    a_visitor_shops(after::app(sessions)).await;
}
