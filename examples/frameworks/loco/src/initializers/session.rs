//! Sessions. Their settings are in `config/*.yaml`, below `initializers: session:`, with the names of
//! `config/session.toml`.

use axum::Router;
use cloakroom::{
    AppKeys, ServerErrors, Sessions, SqliteStore,
    axum::{CsrfLayer, SessionLayer},
    settings::Settings,
};
use loco_rs::{
    doctor::{Check, CheckStatus},
    environment::Environment,
    prelude::*,
};

/// Adds sessions to the application, and a check to `cargo loco doctor`.
#[derive(Debug)]
pub struct SessionInitializer;

#[async_trait]
impl Initializer for SessionInitializer {
    fn name(&self) -> String {
        "session".to_owned()
    }

    async fn after_routes(&self, router: Router, ctx: &AppContext) -> Result<Router> {
        let sessions = sessions(ctx)?;
        ctx.shared_store.insert(sessions.clone()); // for tasks and workers
        Ok(router.layer(CsrfLayer::default()).layer(SessionLayer::new(sessions)))
    }

    /// Reports problems as a check that failed, because the doctor leaves out a check that is an error.
    async fn check(&self, ctx: &AppContext) -> Result<Option<Check>> {
        let problems = problems(ctx).await.unwrap_or_else(|error| vec![error.to_string()]);
        let (status, message, description) = if problems.is_empty() {
            (CheckStatus::Ok, "settings and tables: success", None)
        } else {
            (CheckStatus::NotOk, "settings and tables: failed", Some(problems.join("\n   ")))
        };
        Ok(Some(Check { status, message: message.to_owned(), description }))
    }
}

/// Builds the sessions. Loco's middleware turns a panic into a response before the session layer sees it, so
/// changes are discarded with every server error.
fn sessions(ctx: &AppContext) -> Result<Sessions> {
    let section = ctx.config.initializers.as_ref().and_then(|all| all.get("session"));
    let section = section.cloned().unwrap_or_else(|| data!({}));
    let mut settings = Settings::load_from(section).map_err(Error::wrap)?;
    if ctx.environment == Environment::Test {
        settings.app_key.get_or_insert_with(|| AppKeys::generate().into());
    }
    let builder = settings.builder_on(store(ctx)?).map_err(Error::wrap)?;
    builder.server_errors(ServerErrors::Discard).build().map_err(Error::wrap)
}

/// Makes the store on the application's own connections.
fn store(ctx: &AppContext) -> Result<SqliteStore> {
    SqliteStore::new(ctx.db.get_sqlite_connection_pool().clone()).map_err(Error::wrap)
}

async fn problems(ctx: &AppContext) -> Result<Vec<String>> {
    sessions(ctx)?;
    Ok(store(ctx)?.health().await.map_err(Error::wrap)?.problems)
}
