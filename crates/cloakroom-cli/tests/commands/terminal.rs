//! The command in a terminal, which `script` provides: colors, progress, short handles and questions.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

use cloakroom::{AppKeys, FileStore};

use super::{Project, sessions, visit};

/// Returns what a person sees of a command.
fn in_terminal(project: &Project, arguments: &str, variables: &[(&str, &str)]) -> String {
    with_reply(project, arguments, variables, "")
}

/// Returns what a person sees of a command who types a reply.
fn with_reply(
    project: &Project,
    arguments: &str,
    variables: &[(&str, &str)],
    reply: &str,
) -> String {
    let mut script = script(project, arguments, variables);
    let child = script.spawn();
    let mut child = child.unwrap_or_else(|error| panic!("script (Debian: bsdutils): {error}"));
    child.stdin.take().unwrap().write_all(reply.as_bytes()).unwrap();
    let ran = child.wait_with_output().unwrap();
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// Returns the command in a terminal.
fn script(project: &Project, arguments: &str, variables: &[(&str, &str)]) -> Command {
    let line = format!("{} {arguments}", env!("CARGO_BIN_EXE_cloakroom"));
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    script.current_dir(project.path()).env("TERM", "xterm-256color").env_remove("NO_COLOR");
    script.envs(project.variables.iter().map(|(name, value)| (name, value)));
    script.envs(variables.iter().copied());
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    script
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
    let rates = seen.split_whitespace().filter_map(|word| word.strip_suffix("/s"));
    assert!(rates.clone().count() > 0, "{seen:?}");
    assert!(rates.clone().all(|rate| rate.parse::<u64>().is_ok()), "no decimals: {seen:?}");
    assert!(seen.contains("live sessions        200"), "{seen:?}");
    let piped = project.run(&["stats"]);
    assert_eq!(piped.err(), "", "the first line comes after five seconds");
}

/// Makes a project with two sessions of an owner, whose labels are long.
async fn two_of_one_owner() -> Project {
    let project = Project::on_files();
    let store = FileStore::open(project.path().join("tmp/sessions")).unwrap();
    let application = sessions(store);
    for _ in 0..2 {
        visit(&application, "", |session| {
            session.set_owner("virk@a-company-with-a-long-name.example.org").unwrap();
            session.set_label("Firefox on a telephone of the year before last").unwrap();
        })
        .await;
    }
    project
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_fits_80_columns_with_handles_that_can_be_used() {
    let project = two_of_one_owner().await;
    let seen = in_terminal(&project, "list", &[("NO_COLOR", "1")]);
    let lines: Vec<_> = seen.lines().filter(|line| line.contains('…')).collect();
    assert_eq!(lines.len(), 2, "a session a line: {seen}");
    for line in lines {
        assert!(line.trim_end().chars().count() <= 80, "{seen}");
        let handle = line.split_whitespace().next().unwrap();
        let shown = project.run(&["show", handle]).good();
        assert!(shown.contains("owner      virk@"), "{handle}: {shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_ends_the_question() {
    let project = two_of_one_owner().await;
    let destroy = "destroy --owner virk@a-company-with-a-long-name.example.org";
    // Ctrl-C as the terminal gets it. If it is ignored, the reply after it ends the sessions.
    let mut script = script(&project, destroy, &[("NO_COLOR", "1")]);
    let mut child = script.spawn().unwrap();
    let (mut keyboard, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("[y/N]") {
        let mut byte = [0];
        screen.read_exact(&mut byte).unwrap();
        seen.extend(byte);
    }
    keyboard.write_all(b"\x03").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    // The terminal may be gone.
    drop(keyboard.write_all(b"y\n"));
    drop(keyboard);
    screen.read_to_end(&mut seen).unwrap();
    let seen = String::from_utf8_lossy(&seen).into_owned();
    assert!(!seen.contains("2 sessions ended"), "{seen}");
    assert_eq!(child.wait().unwrap().code(), Some(130), "{seen}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_is_asked_before_several_sessions_end() {
    let project = two_of_one_owner().await;
    let destroy = "destroy --owner virk@a-company-with-a-long-name.example.org";
    for (reply, result) in [
        ("n\n", "no session was ended"),
        ("\n", "no session was ended"),
        ("y\n", "2 sessions ended"),
        ("", "0 sessions ended"),
    ] {
        let seen = with_reply(&project, destroy, &[("NO_COLOR", "1")], reply);
        assert_eq!(seen.contains("End 2 sessions of"), !reply.is_empty(), "{seen}");
        assert!(seen.contains(result), "{reply:?}: {seen}");
    }
}
