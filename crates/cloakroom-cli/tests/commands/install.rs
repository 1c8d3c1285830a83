//! `cloakroom install`, in projects as `cargo new` makes them.

use snapbox::{assert_data_eq, str};

use super::Project;

/// The output of a run that changes nothing.
const SECOND_RUN: &str = "\
Sessions are already set up; nothing was changed.
`cloakroom install --steps` prints the code that is left to write.
";
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Makes a package with these lines under `[dependencies]`.
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
        said.clone(),
        str![[r#"
did: cargo add cloakroom --features axum --path [..]/crates/cloakroom
did: write config/session.toml
did: add a new APP_KEY to .env
did: list /.env and /tmp/sessions* in .gitignore

Add the session layer to your routes:

    use cloakroom::{axum::{CsrfLayer, SessionLayer}, settings::Settings, Error, Session};

    let sessions = Settings::load_for_development(None)?.sessions()?;
    let app = Router::new()
        // your routes
        .layer(CsrfLayer::default())
        .layer(SessionLayer::new(sessions));

Take a session in any handler:

    async fn home(session: Session) -> Result<String, Error> {
        Ok(format!("visit number {}", session.increment("visits")?))
    }

The guide describes forms, flash messages and more: `cargo doc --open -p cloakroom`.

`load_for_development` is for plain http on localhost, and reads .env. In production use
`Settings::load`, set APP_KEY in the environment, and run `cloakroom doctor` there.

"#]]
    );
    assert!(
        project.read("config/session.toml").contains("\ndriver = \"file\"  # SESSION_DRIVER\n")
    );
    let prefix = "\nkey_prefix = \"hello:session:\"  # SESSION_REDIS_KEY_PREFIX\n";
    assert!(project.read("config/session.toml").contains(prefix));
    assert_eq!(project.read(".gitignore"), "/target\n/.env\n/tmp/sessions*\n");
    let files = ["Cargo.toml", "config/session.toml", ".env", ".gitignore"];
    let before = files.map(|name| project.read(name));
    for again in [&["install"][..], &["install", "--driver", "file"]] {
        let said = project.run(again).good();
        assert!(said == SECOND_RUN, "{said}");
    }
    let steps = project.run(&["install", "--steps"]).good();
    assert_eq!(said.split_once("\n\n").unwrap().1, steps, "the first run printed them as well");
    let other = project.run(&["install", "--path", CHECKOUT, "--driver", "redis"]);
    assert_eq!(other.code(), 2);
    assert!(
        other.err().contains("its driver is `file`; set `driver = \"redis\"`"),
        "{}",
        other.err()
    );
    assert_eq!(files.map(|name| project.read(name)), before);
    project.run(&["doctor"]).good();
}

#[test]
fn a_database_makes_its_tables_in_development() {
    let project = package("axum = \"0.8\"");
    let install = ["install", "--path", CHECKOUT, "--driver", "sqlite"];
    let would = project.run(&[&install[..], &["--dry-run"]].concat()).good();
    assert!(would.contains("+APP_KEY=base64:…\n+SESSION_DATABASE_MIGRATE=true"), "{would}");
    let said = project.run(&install).good();
    let did = "did: add a new APP_KEY and SESSION_DATABASE_MIGRATE=true to .env";
    assert!(said.contains(did), "{said}");
    let variables = project.read(".env");
    assert!(variables.ends_with("\nSESSION_DATABASE_MIGRATE=true\n"), "{variables}");
    let again = project.run(&["install"]).good();
    assert_eq!(again, SECOND_RUN);
    // A developer who has a key already keeps it.
    let (key, _) = variables.split_once('\n').unwrap();
    std::fs::write(project.path().join(".env"), key).unwrap();
    let said = project.run(&["install"]).good();
    assert!(said.contains("did: add SESSION_DATABASE_MIGRATE=true to .env"), "{said}");
    assert_eq!(project.read(".env"), variables);
    // And one who makes the tables otherwise is left alone.
    let off = format!("{key}\nSESSION_DATABASE_MIGRATE=false\n");
    std::fs::write(project.path().join(".env"), &off).unwrap();
    assert_eq!(project.run(&["install"]).good(), SECOND_RUN);
    assert_eq!(project.read(".env"), off);
}

#[test]
fn the_adapter_gets_the_features_for_what_the_project_uses() {
    let project = package("axum = \"0.8\"\nminijinja = \"3\"");
    let manifest = project.path().join("Cargo.toml");
    project.run(&["install", "--path", CHECKOUT]).good();
    let features = || {
        let manifest: toml::Table = project.read("Cargo.toml").parse().unwrap();
        serde_json::json!(manifest["dependencies"]["cloakroom"]["features"])
    };
    assert_eq!(features(), serde_json::json!(["axum", "minijinja"]));
    let more = project.read("Cargo.toml") + "validator = { version = \"0.21\" }\n";
    std::fs::write(&manifest, more).unwrap();
    let said = project.run(&["install"]).good();
    assert_eq!(
        said,
        "did: cargo add cloakroom --features validator\n\
         `cloakroom install --steps` prints the code that is left to write.\n"
    );
    assert_eq!(features(), serde_json::json!(["axum", "minijinja", "validator"]));
    assert!(project.run(&["install"]).good() == SECOND_RUN);
}

#[test]
fn in_a_workspace_the_dependency_is_inherited() {
    let project = Project::new();
    let manifest = format!(
        "[workspace]\nmembers = [\"hello\"]\nresolver = \"3\"\n[workspace.dependencies]\n\
         cloakroom = {{ path = \"{CHECKOUT}/crates/cloakroom\" }}\n"
    );
    std::fs::write(project.path().join("Cargo.toml"), &manifest).unwrap();
    std::fs::create_dir_all(project.path().join("hello/src")).unwrap();
    std::fs::write(project.path().join("hello/src/main.rs"), "fn main() {}\n").unwrap();
    let member = "[package]\nname = \"hello\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
                  [dependencies]\naxum = \"0.8\"\n";
    std::fs::write(project.path().join("hello/Cargo.toml"), member).unwrap();
    let wrong = project.run(&["install"]);
    assert_eq!(wrong.code(), 2);
    assert!(wrong.err().contains("run the command in the package's folder"), "{}", wrong.err());
    let ran = project.command(&["install"]).current_dir(project.path().join("hello")).output();
    let ran = super::Ran(ran.unwrap());
    ran.good();
    assert!(ran.err().contains("start the application in this folder"), "{}", ran.err());
    let member = project.read("hello/Cargo.toml");
    assert!(member.contains("cloakroom = { workspace"), "{member}");
    assert_eq!(project.read("Cargo.toml"), manifest);
}

#[test]
fn with_redis_its_feature_is_added() {
    let project = package("actix-web = \"4\"");
    let said = project.run(&["install", "--path", CHECKOUT, "--driver", "redis"]).good();
    assert!(said.contains("did: cargo add cloakroom --features actix,redis"), "{said}");
    assert!(said.contains("Settings::load_for_development(None)?.sessions()?"), "{said}");
    assert_eq!(project.run(&["install"]).good(), SECOND_RUN);
}

#[test]
fn a_crate_that_is_not_in_the_registry_is_an_error_with_a_hint() {
    let ran = package("axum = \"0.8\"").run(&["install"]);
    assert_eq!((ran.code(), ran.out().as_str()), (1, ""), "nothing was done");
    assert!(ran.err().contains("`cargo add cloakroom --features axum` failed: "), "{}", ran.err());
}

#[test]
fn a_dry_run_shows_the_diff_and_changes_nothing() {
    let project = package("actix-web = \"4\"");
    std::fs::write(project.path().join(".gitignore"), "/target\n").unwrap();
    let said = project.run(&["install", "--path", CHECKOUT, "--dry-run"]).good();
    assert!(said.contains("would: cargo add cloakroom --features actix"), "{said}");
    assert!(said.contains("+driver = \"cookie\"  # SESSION_DRIVER"), "{said}");
    assert!(
        said.contains(
            "--- .gitignore\n+++ .gitignore\n@@ -1 +1,3 @@\n /target\n+/.env\n+/tmp/sessions"
        ),
        "{said}"
    );
    assert!(said.contains("+APP_KEY=base64:…"), "a key is not shown: {said}");
    assert!(!project.path().join(".env").exists() && !project.path().join("config").exists());
    assert!(!project.read("Cargo.toml").contains("cloakroom"));
}

#[test]
fn existing_files_stay_unless_forced() {
    let project = package("axum = \"0.8\"");
    std::fs::create_dir(project.path().join("config")).unwrap();
    let settings = "idle_timeout = \"1h\"\n#password = \"hunter2\"\n\
                    redis.url = \"redis://:hunter2@db\"\n";
    std::fs::write(project.path().join("config/session.toml"), settings).unwrap();
    std::fs::write(project.path().join(".env"), "APP_KEY=mine\n").unwrap();
    project.run(&["install", "--path", CHECKOUT]).good();
    assert_eq!(project.read("config/session.toml"), settings);
    let said = project.run(&["install", "--path", CHECKOUT, "--force", "--dry-run"]).good();
    assert!(said.contains("replace config/session.toml") && !said.contains("hunter2"), "{said}");
    assert!(said.contains("+#idle_timeout"), "{said}");
    assert_eq!(project.read(".env"), "APP_KEY=mine\n");
    project.run(&["install", "--path", CHECKOUT, "--force"]).good();
    assert!(project.read("config/session.toml").contains("SESSION_DRIVER"));
    assert_eq!(project.read(".env"), "APP_KEY=mine\n", "a key is never overwritten");
}

#[test]
fn a_closed_pipe_stops_no_change() {
    let project = package("axum = \"0.8\"");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ran = project.command(&["install", "--path", CHECKOUT]).stdout(writer).output().unwrap();
    super::Ran(ran).good();
    for file in ["config/session.toml", ".env", ".gitignore"] {
        assert!(project.path().join(file).exists(), "{file}");
    }
}

#[test]
fn an_invalid_project_is_an_error_and_changes_nothing() {
    for (dependencies, arguments, said) in [
        ("", &["install"][..], "--framework"),
        ("axum = \"0.8\"\nactix-web = \"4\"", &["install"], "--framework"),
        ("axum = \"0.8\"", &["install", "--path", "/nowhere"], "there is no cloakroom in"),
        ("axum = [", &["install"], "Cargo.toml: "),
    ] {
        let project = package(dependencies);
        let ran = project.run(arguments);
        assert_eq!(ran.code(), 2, "{}", ran.err());
        assert!(ran.err().contains(said), "{}", ran.err());
        assert!(!project.path().join("config").exists());
    }
    let broken = package("axum = \"0.8\"");
    std::fs::create_dir(broken.path().join("config")).unwrap();
    std::fs::write(broken.path().join("config/session.toml"), "driver = file\n").unwrap();
    let ran = broken.run(&["install", "--path", CHECKOUT]);
    assert_eq!(ran.code(), 2);
    assert!(ran.err().contains("config/session.toml:1: "), "{}", ran.err());
    let nowhere = Project::new().run(&["install"]);
    assert!(nowhere.err().contains("there is no project here"), "{}", nowhere.err());
    let old = package("axum = \"0.7\"").run(&["install", "--path", CHECKOUT, "--dry-run"]);
    assert!(old.err().contains("cloakroom supports axum 0.8; this project has 0.7"));
}
