//! Running programs.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::Failure;

/// The repository's folder.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The names of the folders in a folder.
pub(crate) fn folders(folder: &Path) -> Result<Vec<String>, Failure> {
    let failed = |error| format!("{}: {error}", folder.display());
    let entries = std::fs::read_dir(folder).map_err(failed)?.collect::<Result<Vec<_>, _>>();
    let folders = entries.map_err(failed)?.into_iter().filter(|entry| entry.path().is_dir());
    Ok(folders.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Runs a program in the repository's folder; what it prints is seen.
pub(crate) fn run(program: &str, arguments: &[&str]) -> Result<(), Failure> {
    run_with(program, arguments, &[])
}

/// The same with environment variables.
pub(crate) fn run_with(
    program: &str,
    arguments: &[&str],
    environment: &[(&str, &str)],
) -> Result<(), Failure> {
    let mut command = Command::new(program);
    command.current_dir(root()).args(arguments).envs(environment.iter().copied());
    let said = format!("{program} {}", arguments.join(" "));
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("failed ({status}); to repeat it: {said}")),
        Err(error) => Err(format!("{said}: {error}")),
    }
}

/// Runs cargo.
pub(crate) fn cargo(arguments: &[&str]) -> Result<(), Failure> {
    run("cargo", arguments)
}

/// Returns what a program prints.
pub(crate) fn output(program: &str, arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new(program).current_dir(root()).args(arguments).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let error = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program} {}: {}", arguments.join(" "), error.trim()))
    }
}

/// Returns the packages that `cargo metadata` lists with these options.
pub(crate) fn packages(options: &[&str]) -> Result<Vec<Value>, Failure> {
    let metadata = ["metadata", "--format-version", "1", "--locked"];
    let metadata = output("cargo", &[&metadata, options].concat())?;
    let mut metadata: Value = serde_json::from_str(&metadata).map_err(|error| error.to_string())?;
    match metadata["packages"].take() {
        Value::Array(packages) => Ok(packages),
        _ => Err("`cargo metadata` lists no packages".to_owned()),
    }
}

/// Whether a program runs and succeeds, without being seen.
pub(crate) fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let mut command = Command::new(program);
    command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether there is such a program.
pub(crate) fn exists(program: &str) -> bool {
    succeeds(program, &["--version"])
}
