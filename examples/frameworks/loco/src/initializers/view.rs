//! Loco's view engine, with the view helpers of sessions.

use axum::{Extension, Router};
use loco_rs::{
    controller::views::{ViewEngine, engines::TeraView},
    prelude::*,
};

/// Adds the templates of `assets/views`.
pub(crate) struct ViewInitializer;

#[async_trait]
impl Initializer for ViewInitializer {
    fn name(&self) -> String {
        "view".to_owned()
    }

    async fn after_routes(&self, router: Router, _: &AppContext) -> Result<Router> {
        let engine = TeraView::build_with_post_process(|templates| {
            cloakroom::tera::add_helpers(templates);
            Ok(())
        })?;
        Ok(router.layer(Extension(ViewEngine::from(engine))))
    }
}
