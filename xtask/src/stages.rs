//! The stages of `cargo xtask test`, in order. The first that fails ends the run.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::{Failure, commands, fuzz, licenses, tools, workspaces};

/// How long each fuzz target runs here; `soak` is for longer.
const FUZZ: Duration = Duration::from_secs(8);

type Stage = (&'static str, fn() -> Result<(), Failure>);

const STAGES: [Stage; 11] = [
    ("tools", tools::install),
    ("fmt", || commands::cargo(&["fmt", "--all", "--check"])),
    ("clippy", clippy),
    ("features", features),
    ("test", test),
    ("docs", docs),
    ("golden", golden),
    ("licenses", licenses::check),
    ("package", package),
    ("semver", semver),
    ("fuzz", || fuzz::run(FUZZ)),
];

/// Stages that test the examples with a workspace of their own, and its folder. A run of all stages leaves
/// one out while its crates are not downloaded, because they are many.
pub(crate) const WORKSPACES: [(&str, &str); 2] =
    [("frameworks", "examples/frameworks"), ("migrations", "examples/migrations")];

/// Runs the chosen stages, or all.
pub(crate) fn run(chosen: &[&str]) -> Result<(), Failure> {
    let stages = STAGES.iter().map(|(name, _)| *name);
    let names: Vec<_> = stages.chain(WORKSPACES.map(|(name, _)| name)).collect();
    if let Some(unknown) = chosen.iter().find(|name| !names.contains(name)) {
        return Err(format!("`{unknown}` is no stage; there are: {}", names.join(" ")));
    }
    let is_chosen = |name| chosen.is_empty() || chosen.contains(&name);
    let started = Instant::now();
    let mut summary = Vec::new();
    for (name, stage) in STAGES {
        if is_chosen(name) {
            summary.push(run_one(name, stage)?);
        }
    }
    for (name, folder) in WORKSPACES {
        if chosen.is_empty() && !workspaces::is_downloaded(folder) {
            println!(
                "== {name} is left out: the crates of {folder} are not downloaded; to run it: \
                 cargo xtask test {name}"
            );
        } else if is_chosen(name) {
            summary.push(run_one(name, || workspaces::test(folder))?);
        }
    }
    println!("== all stages passed in {:.0?}: {}", started.elapsed(), summary.join(", "));
    println!("{} passed, 0 failed", summary.len());
    Ok(())
}

/// Runs a stage. Returns its name and how long it took.
fn run_one(name: &str, stage: impl FnOnce() -> Result<(), Failure>) -> Result<String, Failure> {
    println!("== {name}");
    let began = Instant::now();
    stage().map_err(|failure| format!("== {name}: {failure}\nalone: cargo xtask test {name}"))?;
    Ok(format!("{name} {:.0?}", began.elapsed()))
}

fn clippy() -> Result<(), Failure> {
    commands::cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ])
}

/// The limits of a request's allocations are lower without the feature `metrics`, and settings name
/// the drivers that are not built in.
fn test() -> Result<(), Failure> {
    commands::cargo(&["test", "--workspace", "--all-features"])?;
    commands::cargo(&["test", "--package", "cloakroom-axum", "--test", "allocations"])?;
    commands::cargo(&["test", "--package", "cloakroom-settings", "--lib"])
}

/// Each feature of `cloakroom` alone, and none: features add and never lean on each other.
fn features() -> Result<(), Failure> {
    lint_alone("cloakroom", "")?;
    features_of("cloakroom")?.iter().try_for_each(|feature| lint_alone("cloakroom", feature))
}

/// The features of a package, which passes them on to the crates that have them.
fn features_of(package: &str) -> Result<Vec<String>, Failure> {
    let packages = commands::packages(&["--no-deps"])?;
    let found = packages.iter().find(|found| found["name"] == package);
    let features = found.and_then(|found| found["features"].as_object());
    let features = features.ok_or_else(|| format!("there is no package `{package}`"))?;
    Ok(features.keys().filter(|name| *name != "default").cloned().collect())
}

fn lint_alone(package: &str, features: &str) -> Result<(), Failure> {
    let lint = ["clippy", "--quiet", "--no-default-features", "--package", package];
    let chosen = ["--features", features, "--", "-D", "warnings"];
    commands::cargo(&[&lint[..], &chosen].concat())
}

fn docs() -> Result<(), Failure> {
    let arguments = ["doc", "--workspace", "--all-features", "--no-deps"];
    commands::run_with("cargo", &arguments, &[("RUSTDOCFLAGS", "-D warnings")])
}

/// The `--package` arguments of the published crates, which are those in `crates/`.
fn published() -> Result<Vec<String>, Failure> {
    let crates = commands::folders(&commands::root().join("crates"))?;
    Ok(crates.iter().flat_map(|name| ["--package".to_owned(), name.clone()]).collect())
}

/// Makes the package of each published crate. The soak also builds them.
fn package() -> Result<(), Failure> {
    make_packages(&["--no-verify"])
}

/// Makes the package of each published crate and builds it from there alone.
///
/// The build starts from nothing: Cargo takes a package for unchanged while its version is the
/// same, and would build the sources of an earlier run.
pub(crate) fn build_packages() -> Result<(), Failure> {
    forget(&commands::root().join("target/package-check"))?;
    forget_unpacked()?;
    make_packages(&["--target-dir", "target/package-check"])
}

fn make_packages(options: &[&str]) -> Result<(), Failure> {
    let crates = published()?;
    let mut arguments = [&["package", "--quiet", "--locked", "--allow-dirty"], options].concat();
    arguments.extend(crates.iter().map(String::as_str));
    commands::cargo(&arguments)
}

/// Removes what Cargo unpacked of our crates from a registry that has no host: a folder.
fn forget_unpacked() -> Result<(), Failure> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")));
    let Some(sources) = home.map(|home| home.join("registry/src")) else { return Ok(()) };
    if !sources.exists() {
        return Ok(());
    }
    for registry in commands::folders(&sources)?.iter().filter(|name| name.starts_with('-')) {
        let registry = sources.join(registry);
        for name in commands::folders(&registry)?.iter().filter(|n| n.starts_with("cloakroom")) {
            forget(&registry.join(name))?;
        }
    }
    Ok(())
}

/// Removes a folder that may be absent.
fn forget(folder: &Path) -> Result<(), Failure> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(format!("{}: {error}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Compares the public interface with the last release, once there is one.
fn semver() -> Result<(), Failure> {
    if env!("CARGO_PKG_VERSION") == "0.1.0" {
        println!("there is no release to compare with before 0.1.0");
        return Ok(());
    }
    if !commands::succeeds("cargo", &["semver-checks", "--version"]) {
        return Err("cargo-semver-checks is missing: cargo install cargo-semver-checks".to_owned());
    }
    let crates = published()?;
    let mut arguments = vec!["semver-checks"];
    arguments.extend(crates.iter().map(String::as_str));
    commands::cargo(&arguments)
}

/// Opens the golden vectors with programs in another language.
fn golden() -> Result<(), Failure> {
    let folder = commands::root().join("crates/cloakroom-core/tests/golden");
    let entries =
        std::fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let python = tools::python().ok_or("no Python with the `cryptography` package")?;
    let mut opened = 0;
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|extension| extension == "py") {
            commands::run(python, &["-B", &path.to_string_lossy()])?;
            opened += 1;
        }
    }
    if opened == 0 { Err("there is no golden vector to open".to_owned()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_are_those_of_the_manifest() {
        let features = features_of("cloakroom").unwrap();
        assert!(features.contains(&"axum".to_owned()), "{features:?}");
        assert!(!features.contains(&"default".to_owned()), "{features:?}");
        assert!(features_of("nothing").is_err());
    }
}
