//! `cloakroom install`, in projects as `cargo new` makes them.

use snapbox::{assert_data_eq, str};

use super::Project;

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// A package with these lines under `[dependencies]`.
fn package(dependencies: &str) -> Project {
    let project = Project::new();
    let manifest = format!(
        "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n[dependencies]\n{dependencies}\n"
    );
    std::fs::write(project.path().join("Cargo.toml"), manifest).unwrap();
    std::fs::create_dir(project.path().join("src")).unwrap();
    std::fs::write(project.path().join("src/main.rs"), "fn main() {}\n").unwrap();
    project
}

#[test]
fn it_sets_up_once_and_changes_nothing_the_second_time() {
    let project = package("axum = \"0.8\"");
    std::fs::write(project.path().join(".gitignore"), "/target").unwrap();
    let said = project.run(&["install", "--path", CHECKOUT, "--driver", "file"]).good();
    assert_data_eq!(
        said,
        str![[r#"
did: cargo add cloakroom-axum --path [..]/crates/cloakroom-axum
did: write config/session.toml
did: put a new APP_KEY into .env
did: have git leave secrets and sessions alone in .gitignore

Now put the sessions around your routes:

    use cloakroom_axum::{Session, SessionError, SessionLayer, settings::Settings};

    let sessions = Settings::load_for_development(None)?.sessions()?;
    let app = Router::new()
        // your routes
        .layer(SessionLayer::new(sessions));

and ask for one in any handler:

    async fn home(session: Session) -> Result<String, SessionError> {
        Ok(format!("visit number {}", session.increment("visits")?))
    }

`load_for_development` is for plain http on localhost, and reads .env. In production use
`Settings::load`, set APP_KEY in the environment, and run `cloakroom doctor` there.

"#]]
    );
    assert!(
        project.read("config/session.toml").contains("\ndriver = \"file\"  # SESSION_DRIVER\n")
    );
    assert_eq!(project.read(".gitignore"), "/target\n/.env\n/tmp/sessions\n");
    let files = ["Cargo.toml", "config/session.toml", ".env", ".gitignore"];
    let before = files.map(|name| project.read(name));
    let said = project.run(&["install", "--path", CHECKOUT, "--driver", "redis"]).good();
    assert!(said.contains("cargo add cloakroom-redis") && !said.contains("write config"), "{said}");
    let said = project.run(&["install", "--driver", "redis"]).good();
    assert!(said.starts_with("Everything is in place already"), "{said}");
    assert_eq!(files.map(|name| project.read(name))[1..], before[1..]);
    project.run(&["doctor"]).good();
}

#[test]
fn a_dry_run_shows_the_diff_and_changes_nothing() {
    let project = package("actix-web = \"4\"");
    std::fs::write(project.path().join(".gitignore"), "/target\n").unwrap();
    let said = project.run(&["install", "--path", CHECKOUT, "--dry-run"]).good();
    assert!(said.contains("would: cargo add cloakroom-actix"), "{said}");
    assert!(said.contains("+driver = \"cookie\"  # SESSION_DRIVER"), "{said}");
    assert!(
        said.contains("--- .gitignore\n+++ .gitignore\n@@ -1 +1,2 @@\n /target\n+/.env"),
        "{said}"
    );
    assert!(said.contains("+APP_KEY=base64:…"), "a key is not shown: {said}");
    assert!(!project.path().join(".env").exists() && !project.path().join("config").exists());
    assert!(!project.read("Cargo.toml").contains("cloakroom"));
}

#[test]
fn files_that_are_there_stay_unless_forced() {
    let project = package("axum = \"0.8\"");
    std::fs::create_dir(project.path().join("config")).unwrap();
    std::fs::write(project.path().join("config/session.toml"), "age = \"1h\"\n").unwrap();
    std::fs::write(project.path().join(".env"), "APP_KEY=mine\n").unwrap();
    project.run(&["install", "--path", CHECKOUT]).good();
    assert_eq!(project.read("config/session.toml"), "age = \"1h\"\n");
    assert_eq!(project.read(".env"), "APP_KEY=mine\n");
    project.run(&["install", "--path", CHECKOUT, "--force"]).good();
    assert!(project.read("config/session.toml").contains("SESSION_DRIVER"));
    assert_eq!(project.read(".env"), "APP_KEY=mine\n", "a key is never overwritten");
}

#[test]
fn what_cannot_be_is_said_and_changes_nothing() {
    for (dependencies, arguments, said) in [
        ("", &["install"][..], "--framework"),
        ("axum = \"0.8\"\nactix-web = \"4\"", &["install"], "--framework"),
        ("axum = \"0.8\"", &["install", "--path", "/nowhere"], "there is no cloakroom-axum in"),
        ("axum = [", &["install"], "Cargo.toml: "),
    ] {
        let project = package(dependencies);
        let ran = project.run(arguments);
        assert_eq!(ran.code(), 2, "{}", ran.err());
        assert!(ran.err().contains(said), "{}", ran.err());
        assert!(!project.path().join("config").exists());
    }
    let nowhere = Project::new().run(&["install"]);
    assert!(nowhere.err().contains("there is no project here"), "{}", nowhere.err());
    let old = package("axum = \"0.7\"").run(&["install", "--path", CHECKOUT, "--dry-run"]);
    assert!(old.err().contains("cloakroom-axum is for axum 0.8; this project has 0.7"));
}
