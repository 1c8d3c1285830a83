//! The shop behaves alike before and after the migration.

use actix_session::storage::{CookieSessionStore, RedisSessionStore};
use actix_web::cookie::Key;
use cloakroom::{AppKeys, Driver, MemoryStore};
use from_actix_session::{after, before};
use migrations_client::{Application, Browser, RedisServer, actix};

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

#[actix_web::test]
async fn before_on_cookies() {
    let sessions = before::sessions(CookieSessionStore::default(), Key::generate());
    a_visitor_shops(actix(before::app(sessions)).await).await;
}

#[actix_web::test]
async fn before_on_redis() {
    let server = RedisServer::start();
    let store = RedisSessionStore::new(server.url()).await.unwrap();
    a_visitor_shops(actix(before::app(before::sessions(store, Key::generate()))).await).await;
}

#[actix_web::test]
async fn after_on_cookies() {
    let sessions = after::sessions(Driver::Cookie, AppKeys::random()).build().unwrap();
    a_visitor_shops(actix(after::app(sessions)).await).await;
}

#[actix_web::test]
async fn after_on_a_store() {
    let sessions = after::sessions(MemoryStore::new(), AppKeys::random()).build().unwrap();
    a_visitor_shops(actix(after::app(sessions)).await).await;
}
