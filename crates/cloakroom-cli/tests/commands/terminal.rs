//! In a real terminal, which `script` makes: colors and progress are there, and gone with `NO_COLOR`.

use std::process::Command;

use cloakroom::{AppKeys, FileStore};

use super::{Project, sessions, visit};

/// What a person sees of a command.
fn in_terminal(project: &Project, arguments: &str, variables: &[(&str, &str)]) -> String {
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_cloakroom"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.current_dir(project.path()).env("TERM", "xterm-256color").env_remove("NO_COLOR");
    script.envs(project.variables.iter().map(|(name, value)| (name, value)));
    script.envs(variables.iter().copied());
    let ran = script.output().unwrap_or_else(|error| panic!("script (Debian: bsdutils): {error}"));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

#[test]
fn colors_are_for_terminals_and_not_for_no_color() {
    let project = Project::new().with("APP_KEY", &AppKeys::generate());
    let seen = in_terminal(&project, "doctor", &[]);
    assert!(seen.contains("\u{1b}[32mgood \u{1b}[0m application key"), "{seen:?}");
    let plain = in_terminal(&project, "doctor", &[("NO_COLOR", "1")]);
    assert!(plain.contains("good  application key") && !plain.contains('\u{1b}'), "{plain:?}");
    assert!(!project.run(&["doctor"]).out().contains('\u{1b}'), "no terminal, no color");
}

#[tokio::test(flavor = "multi_thread")]
async fn long_work_has_a_bar_and_short_lines_elsewhere() {
    let project = Project::on_files();
    let store = FileStore::builder(project.path().join("tmp/sessions"));
    let store = store.durability(cloakroom::file::Durability::Fast).open().unwrap();
    let application = sessions(store);
    for number in 0..200 {
        visit(&application, "", |session| session.put("n", number).unwrap()).await;
    }
    let seen = in_terminal(&project, "stats", &[]);
    assert!(seen.contains("counting") && seen.contains("/200"), "{seen:?}");
    assert!(seen.contains("live sessions        200"), "{seen:?}");
    let piped = project.run(&["stats"]);
    assert_eq!(piped.err(), "", "nothing to say before five seconds");
}
