//! Measuring the cost of sessions: `cargo xtask bench`.

use crate::{Failure, commands, tools};

/// The folder in which the comparison is built, because it is a separate workspace.
const TARGET: &str = "target/bench";

/// Measures a request in process.
pub(crate) fn in_process() -> Result<(), Failure> {
    commands::cargo(&["bench", "--package", "cloakroom-tests"])
}

/// Measures the probe beside the bare service, over loopback.
pub(crate) fn http() -> Result<(), Failure> {
    commands::cargo(&["build", "--profile", "bench", "--package", "cloakroom-tests", "--bins"])?;
    // The servers have the first core; the client takes the second.
    if commands::exists("taskset") {
        commands::run("taskset", &["-c", "1", "target/release/load"])
    } else {
        commands::run("target/release/load", &[])
    }
}

/// Builds the servers in `bench/` and compares them: `peers`, `instructions` or `crowd`, with its
/// arguments.
pub(crate) fn compare(task: &str, arguments: &[&str]) -> Result<(), Failure> {
    tools::require("redis-server")?;
    tools::require("postgresql")?;
    if task == "instructions" && !commands::exists("valgrind") {
        return Err(tools::missing("valgrind"));
    }
    commands::cargo(&[
        "build",
        "--release",
        "--locked",
        "--manifest-path",
        "bench/Cargo.toml",
        "--target-dir",
        TARGET,
    ])?;
    commands::run(&format!("{TARGET}/release/compare"), &[&[task], arguments].concat())
}
