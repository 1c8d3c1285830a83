//! Failures where the application listens to no log: they go to standard error, once each.

use std::process::Command;

use cloakroom::visit::{Failure, Problem};

#[test]
fn a_failure_that_nobody_listens_for_is_said_on_standard_error() {
    let this = std::env::current_exe().unwrap();
    let child = ["--exact", "fail", "--ignored", "--nocapture"];
    let ran = Command::new(this).args(child).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    assert_eq!(said, "cloakroom: this route has no session: add the layer\n");
}

/// In a process of its own, where nothing was set up.
#[test]
#[ignore = "what the test above starts"]
fn fail() {
    Problem::from(Failure::NoSession("add the layer".to_owned())).log();
}
