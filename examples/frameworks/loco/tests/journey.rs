//! A visitor's way through the pages and the API.
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::path::Path;

use axum::Router;
use cloakroom::{
    Sessions, SqliteStore,
    axum::testing::{InProcess, TestClient, TestResponse, client},
};
use loco_app::{App, SessionInitializer};
use loco_rs::{
    app::{AppContext, Hooks, Initializer},
    boot::StartMode,
    doctor::CheckStatus,
    environment::Environment,
};
use serde_json::{Value, json};
use tempfile::TempDir;

type Visitor = TestClient<InProcess<Router>>;

/// Holds the application and its separate database.
struct Application {
    router: Router,
    context: AppContext,
    _folder: TempDir,
}

impl Application {
    async fn boot() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Environment::Test.load_from_folder(Path::new("config")).unwrap();
        let file = folder.path().join("test.sqlite");
        config.database.uri = format!("sqlite://{}?mode=rwc", file.display());
        let boot = App::boot(StartMode::ServerOnly, &Environment::Test, config).await.unwrap();
        Self { router: boot.router.unwrap(), context: boot.app_context, _folder: folder }
    }

    fn sessions(&self) -> Sessions {
        self.context.shared_store.get().unwrap()
    }

    fn visitor(&self) -> Visitor {
        client(self.router.clone(), &self.sessions())
    }
}

async fn page(visitor: &mut Visitor, path: &str) -> TestResponse {
    let request = visitor.get(path).header("sec-fetch-mode", "navigate");
    request.header("accept", "text/html").send().await
}

/// Posts a form of a page.
async fn submit(visitor: &mut Visitor, path: &str, form: &[(&str, &str)]) -> TestResponse {
    let request = visitor.post(path).with_csrf_token().header("sec-fetch-site", "same-origin");
    request
        .header("sec-fetch-mode", "navigate")
        .header("accept", "text/html")
        .form(form)
        .send()
        .await
}

/// The pair of name and token that a response sets.
fn cookie(response: &TestResponse) -> String {
    let line = response.header("set-cookie").unwrap_or_else(|| panic!("no cookie: {response}"));
    line.split(';').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_note_is_in_the_next_page_and_its_message_once() {
    let application = Application::boot().await;
    let mut visitor = application.visitor();
    let first = page(&mut visitor, "/").await;
    first.assert_status(200);
    assert!(first.text().contains("Sign in"), "{first}");

    let saved = submit(&mut visitor, "/note", &[("text", "Buy <milk>")]).await;
    saved.assert_redirect("/").assert_flash("notice", "Saved.");
    let next = page(&mut visitor, "/").await.text();
    assert!(next.contains("Saved.") && next.contains("Buy &lt;milk&gt;"), "{next}");
    let again = page(&mut visitor, "/").await.text();
    assert!(again.contains("milk") && !again.contains("Saved."), "{again}");
}

#[tokio::test]
async fn an_invalid_form_comes_back_filled_in() {
    let application = Application::boot().await;
    let mut visitor = application.visitor();
    let refused = submit(&mut visitor, "/note", &[("text", "ab")]).await;
    refused.assert_redirect("/").assert_old("text", "ab");
    let form = page(&mut visitor, "/").await.text();
    assert!(form.contains(r#"value="ab""#) && form.contains("<em>must have"), "{form}");
    assert!(!page(&mut visitor, "/").await.text().contains("<em>"));
}

#[tokio::test]
async fn json_needs_no_token_and_gets_its_errors_as_json() {
    let application = Application::boot().await;
    let mut visitor = application.visitor();
    for (site, text, status) in
        [("same-origin", "ab", 422), ("same-origin", "milk", 200), ("cross-site", "theirs", 403)]
    {
        let request = visitor.request("PUT", "/api/note").header("sec-fetch-site", site);
        request.json(json!({ "text": text })).send().await.assert_status(status);
    }
    assert!(page(&mut visitor, "/").await.text().contains("milk"));
}

#[tokio::test]
async fn a_sign_in_changes_the_token_and_leads_on() {
    let application = Application::boot().await;
    let mut visitor = application.visitor();
    let refused = visitor.get("/api/account").header("accept", "application/json").send().await;
    refused.assert_status(401);
    assert_eq!(refused.json::<Value>()["code"], "not_signed_in");
    let before = submit(&mut visitor, "/note", &[("text", "milk")]).await;
    page(&mut visitor, "/account").await.assert_redirect("/sign-in");
    let wrong = submit(&mut visitor, "/sign-in", &[("user", "virk"), ("password", "x")]).await;
    wrong.assert_redirect("/sign-in").assert_signed_out();
    let form = page(&mut visitor, "/sign-in").await.text();
    assert!(form.contains("is not the password") && form.contains(r#"value="virk""#), "{form}");

    let form = [("user", "virk"), ("password", "guest")];
    let after = submit(&mut visitor, "/sign-in", &form).await;
    after.assert_redirect("/account").assert_signed_in_as("virk");
    assert_ne!(cookie(&before), cookie(&after));
    assert_eq!(page(&mut visitor, "/account").await.text(), "signed in as virk");
    let account = visitor.get("/api/account").send().await;
    assert_eq!(account.json::<Value>(), json!({ "user": "virk" }));
}

#[tokio::test]
async fn a_forged_form_is_refused() {
    let application = Application::boot().await;
    let mut visitor = application.visitor();
    submit(&mut visitor, "/note", &[("text", "milk")]).await;
    let forged = visitor.post("/note").with_csrf_token().header("sec-fetch-site", "cross-site");
    let forged = forged.form(&[("text", "theirs")]).send().await;
    forged.assert_status(403).assert_session("note", "milk");
    let untokened = visitor.post("/note").header("sec-fetch-site", "same-origin");
    untokened.form(&[("text", "theirs")]).send().await.assert_status(403);
}

#[tokio::test]
async fn a_sign_out_ends_every_copy_of_the_cookie() {
    let application = Application::boot().await;
    let (mut visitor, mut thief) = (application.visitor(), application.visitor());
    let form = [("user", "virk"), ("password", "guest")];
    let copy = cookie(&submit(&mut visitor, "/sign-in", &form).await);
    thief.get("/account").header("cookie", &copy).send().await.assert_status(200);
    submit(&mut visitor, "/sign-out", &[]).await.assert_redirect("/").assert_signed_out();
    thief.get("/account").header("cookie", &copy).send().await.assert_redirect("/sign-in");
}

#[tokio::test]
async fn the_doctor_names_a_missing_table() {
    let Application { context, _folder, .. } = Application::boot().await;
    let check = SessionInitializer.check(&context).await.unwrap().unwrap();
    assert_eq!((check.status, check.description), (CheckStatus::Ok, None));
    let pool = context.db.get_sqlite_connection_pool();
    let drop = "DROP TABLE cloakroom_sessions_log";
    cloakroom::sql::sqlx::query(drop).execute(pool).await.unwrap();
    let check = SessionInitializer.check(&context).await.unwrap().unwrap();
    assert_eq!(check.status, CheckStatus::NotOk);
    let problem = check.description.unwrap();
    assert!(problem.contains("does not exist"), "{problem}");
}

#[tokio::test]
async fn the_migration_makes_the_tables_that_the_library_needs() {
    let Application { context, _folder, .. } = Application::boot().await;
    let store = SqliteStore::new(context.db.get_sqlite_connection_pool().clone()).unwrap();
    let migration = include_str!("../src/migration/create_sessions.sql");
    let statements: Vec<_> = migration.split_terminator(";\n").map(str::trim).collect();
    assert_eq!(statements, store.schema());
}
