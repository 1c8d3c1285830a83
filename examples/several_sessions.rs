//! Several sessions in one application: staff and shop, each with its cookie, its lifetime, its store.

use std::time::Duration;

use axum::{Router, routing::get};
use cloakroom::{
    AppKeys, CookieName, Error, MemoryStore, NamedSession, Session, Sessions, axum::SessionLayer,
    cookie::CookieSettings,
};

struct Staff;

impl CookieName for Staff {
    const COOKIE_NAME: &'static str = "staff";
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    cloakroom_examples::serve(app(&cloakroom_examples::sessions())).await
}

/// `shop` are the sessions of everybody; staff have a second one, which ends after a quarter of an hour.
fn app(shop: &Sessions) -> Router {
    let settings =
        CookieSettings { name: Staff::COOKIE_NAME.to_owned(), ..CookieSettings::development() };
    let staff = Sessions::builder(MemoryStore::new(), AppKeys::random())
        .idle_timeout(Duration::from_mins(15))
        .cookie_settings(settings)
        .build()
        .unwrap_or_else(|error| panic!("the settings are valid: {error}"));
    Router::new()
        .route("/office", get(office))
        .layer(SessionLayer::new(staff))
        .route("/", get(cart))
        .layer(SessionLayer::new(shop.clone()))
}

/// Within both layers: the session by name, and the innermost one.
async fn office(staff: NamedSession<Staff>, current: Session) -> Result<String, Error> {
    staff.put("desk", 7)?;
    Ok(current.get_or("desk", 0)?.to_string())
}

async fn cart(shop: Session) -> Result<String, Error> {
    Ok(shop.increment("items")?.to_string())
}

#[cfg(test)]
mod tests {
    use cloakroom_tests::{browser::Browser, server::serve};

    use super::*;
    use cloakroom_examples::sessions;

    #[tokio::test]
    async fn the_sessions_do_not_know_each_other() {
        let (address, _serving) = serve(app(&sessions())).await;
        let mut visitor = Browser::new(address);
        assert_eq!(visitor.get("/office").await.text(), "7");
        assert_eq!(visitor.get("/").await.text(), "1");
        assert_eq!(visitor.jar.names().collect::<Vec<_>>(), ["session", "staff"]);
        visitor.jar.remove("staff");
        assert_eq!(visitor.get("/").await.text(), "2");
    }
}
