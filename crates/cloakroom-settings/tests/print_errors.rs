//! Failures and warnings where the application listens to no log: they go to standard error, once each.

use std::process::Command;

use cloakroom_core::{
    adapter::{AdapterError, Problem},
    observe,
};
use cloakroom_settings::Settings;

#[test]
fn a_failure_that_nobody_listens_for_is_said_on_standard_error() {
    let this = std::env::current_exe().unwrap();
    let child = ["--exact", "fail", "--ignored", "--nocapture"];
    let ran = Command::new(this).args(child).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(said, "cloakroom: this route has no session: add the layer\n");
}

#[test]
fn development_settings_in_a_build_for_production_are_said_on_standard_error() {
    let this = std::env::current_exe().unwrap();
    let child = ["--exact", "load", "--ignored", "--nocapture"];
    let ran = Command::new(this).args(child).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    if cfg!(debug_assertions) {
        assert_eq!(said, "");
    } else {
        let begins =
            "cloakroom: `Settings::load_for_development` was called in a build without debug";
        assert!(said.starts_with(begins) && said.lines().count() == 1, "{said}");
    }
}

/// In a process of its own, where nothing was set up.
#[test]
#[ignore = "what the test above starts"]
fn load() {
    let nowhere = std::path::Path::new("/dev/null");
    Settings::load_for_development(Some(nowhere)).unwrap();
}

/// In a process of its own, where nothing was set up.
#[test]
#[ignore = "what the test above starts"]
fn fail() {
    observe::print_unheard(true);
    let problem = Problem::from(AdapterError::NoSession("add the layer".to_owned()));
    drop(problem.to_response());
}
