//! Testing the examples that are a workspace of their own.

use crate::{Failure, commands};

/// Returns whether the crates of the workspace in `folder` are on this machine, in the versions of its lock
/// file. `cargo tree` needs those for this machine only.
pub(crate) fn is_downloaded(folder: &str) -> bool {
    let manifest = manifest(folder);
    commands::succeeds(
        "cargo",
        &["tree", "--offline", "--locked", "--workspace", "--manifest-path", &manifest],
    )
}

/// Checks the format, the lints and the tests of the workspace in `folder`.
pub(crate) fn test(folder: &str) -> Result<(), Failure> {
    let manifest = manifest(folder);
    let at = ["--manifest-path", manifest.as_str()];
    let locked = [&at[..], &["--locked", "--workspace"]].concat();
    // Without the packages' names, cargo would check the format of the library as well.
    let packages = commands::packages(&[&at[..], &["--no-deps"]].concat())?;
    let names = packages.iter().filter_map(|package| package["name"].as_str());
    let names: Vec<_> = names.flat_map(|name| ["--package", name]).collect();
    commands::cargo(&[&["fmt"], &at[..], &names, &["--check"]].concat())?;
    let lints = ["--all-targets", "--", "-D", "warnings"];
    commands::cargo(&[&["clippy"], &locked[..], &lints].concat())?;
    commands::cargo(&[&["test"], &locked[..]].concat())
}

fn manifest(folder: &str) -> String {
    format!("{folder}/Cargo.toml")
}
