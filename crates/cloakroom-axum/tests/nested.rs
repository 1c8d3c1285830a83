//! Routers inside routers: the visitor gets back to the address that the browser has.

use axum::{Router, routing::get};
use cloakroom_axum::{
    SessionLayer,
    testing::{InProcess, TestClient, client},
};
use cloakroom_core::{
    AppKeys, Error, MemoryStore, Owner, RequireOwner, SeeOther, Session, Sessions,
};

async fn sign_in(session: Session) -> Result<SeeOther, Error> {
    session.sign_in("virk")?;
    session.redirect_intended("/")
}

fn sessions() -> Sessions {
    let builder = Sessions::builder(MemoryStore::new(), AppKeys::random());
    builder.sign_in_page("/sign-in").build().unwrap_or_else(|error| panic!("{error}"))
}

async fn intended(mut visitor: TestClient<InProcess<Router>>, page: &str) {
    visitor.get(page).send().await.assert_redirect("/sign-in");
    visitor.get("/sign-in").send().await.assert_redirect(page);
    assert_eq!(visitor.get(page).send().await.text(), "virk");
}

#[tokio::test]
async fn the_intended_url_has_the_prefix_of_a_nested_router() {
    let sessions = sessions();
    let page = get(async |owner: Owner| owner.to_string());
    let by_layer = Router::new().route("/page", page.clone()).layer(RequireOwner::new());
    let by_extractor = Router::new().route("/page", page);
    let app = Router::new()
        .nest("/layer", Router::new().nest("/deep", by_layer))
        .nest("/extractor", by_extractor)
        .route("/sign-in", get(sign_in))
        .layer(SessionLayer::new(sessions.clone()));
    for page in ["/layer/deep/page?tab=2", "/extractor/page?tab=2"] {
        intended(client(app.clone(), &sessions), page).await;
    }
}
