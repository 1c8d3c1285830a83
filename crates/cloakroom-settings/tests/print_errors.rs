//! The setting `print_errors`: an application without a logger sees its errors on standard error.
//! Each case runs in a separate process, because the setting and the logger belong to the process.

#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::{path::Path, process::Command};

use cloakroom_core::{
    AppKeys,
    adapter::{AdapterError, Problem},
};
use cloakroom_settings::Settings;

/// Runs a test of this file in a separate process. Returns its standard error.
fn run(test: &str, variables: &[(&str, &str)]) -> String {
    let this = std::env::current_exe().unwrap();
    let mut child = Command::new(this);
    child.args(["--exact", test, "--ignored", "--nocapture"]);
    child.env("APP_KEY", AppKeys::generate()).envs(variables.iter().copied());
    String::from_utf8(child.output().unwrap().stderr).unwrap()
}

#[test]
fn an_error_without_a_logger_is_printed_in_development() {
    let said = run("fail_in_development", &[]);
    let last = said.lines().last();
    assert_eq!(last, Some("cloakroom: this route has no session: add the layer"), "{said}");
    assert_eq!(said.lines().count(), if cfg!(debug_assertions) { 1 } else { 2 }, "{said}");
}

#[test]
fn the_setting_turns_printing_off_and_on() {
    assert_eq!(run("fail_in_development", &[("SESSION_PRINT_ERRORS", "off")]), "");
    assert_eq!(run("fail_in_production", &[]), "");
    let said = run("fail_in_production", &[("SESSION_PRINT_ERRORS", "on")]);
    assert_eq!(said, "cloakroom: this route has no session: add the layer\n");
}

#[test]
fn development_settings_in_a_build_for_production_are_printed() {
    let said = run("load", &[]);
    if cfg!(debug_assertions) {
        assert_eq!(said, "");
    } else {
        let begins =
            "cloakroom: `Settings::load_for_development` was called in a build without debug";
        assert!(said.starts_with(begins) && said.lines().count() == 1, "{said}");
    }
}

#[test]
#[ignore = "runs in a separate process, started by the tests above"]
fn load() {
    Settings::load_for_development(Some(Path::new("/dev/null"))).unwrap();
}

#[test]
#[ignore = "runs in a separate process, started by the tests above"]
fn fail_in_development() {
    fail(&Settings::load_for_development(Some(Path::new("/dev/null"))).unwrap());
}

#[test]
#[ignore = "runs in a separate process, started by the tests above"]
fn fail_in_production() {
    fail(&Settings::load(Some(Path::new("/dev/null"))).unwrap());
}

fn fail(settings: &Settings) {
    settings.sessions().unwrap();
    // A problem that no layer logs logs itself when it is dropped.
    let problem = Problem::from(AdapterError::NoSession("add the layer".to_owned()));
    drop(problem.to_response());
}
