//! The project to which sessions are added.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use cloakroom::settings::DriverKind;
use toml::{Table, Value};

use crate::{
    arguments::{Framework, Install},
    failure::Failure,
};

/// The crates that cloakroom supports by a feature of the same name.
const INTEGRATIONS: [&str; 5] = ["minijinja", "tera", "validator", "garde", "metrics"];

/// A package with its framework and its dependencies.
pub(super) struct Project {
    pub(super) framework: Framework,
    pub(super) name: String,
    dependencies: Table,
}

impl Framework {
    /// Returns the framework's crate, and the version that cloakroom supports.
    fn upstream(self) -> (&'static str, &'static str) {
        match self {
            Self::Axum => ("axum", "0.8"),
            Self::Actix => ("actix-web", "4"),
        }
    }

    /// Returns the feature of `cloakroom` for the framework.
    fn feature(self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::Actix => "actix",
        }
    }
}

impl Project {
    /// Reads the package in `folder`. `asked` overrides the framework that the manifest names.
    pub(super) fn find(folder: &Path, asked: Option<Framework>) -> Result<Self, Failure> {
        let path = folder.join("Cargo.toml");
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Failure::unusable(format!(
                "there is no project here: Cargo.toml: {error}; change to the package's folder, or make \
                 one with `cargo new`"
            ))
        })?;
        let manifest: Table = toml::from_str(&text)
            .map_err(|error| Failure::unusable(format!("Cargo.toml: {}", error.message())))?;
        let package = manifest.get("package").ok_or_else(|| {
            Failure::unusable(
                "this Cargo.toml has no [package]; run the command in the package's folder",
            )
        })?;
        let name = package.get("name").and_then(Value::as_str);
        let name = name
            .ok_or_else(|| Failure::unusable("Cargo.toml: package.name: a string is accepted"))?;
        let dependencies = manifest.get("dependencies").and_then(Value::as_table).cloned();
        let dependencies = dependencies.unwrap_or_default();
        let framework = match asked {
            Some(framework) => framework,
            None => used(&dependencies)?,
        };
        Ok(Self { framework, name: name.to_owned(), dependencies })
    }

    /// Returns remarks about the project.
    pub(super) fn remarks(&self) -> Vec<String> {
        let in_workspace = is_in_workspace().then(|| {
            "this package is part of a workspace: start the application in this folder, because it \
             reads config/session.toml and .env from the current folder"
                .to_owned()
        });
        self.version_remark().into_iter().chain(in_workspace).collect()
    }

    fn version_remark(&self) -> Option<String> {
        let (name, wanted) = self.framework.upstream();
        let Some(dependency) = dependency(&self.dependencies, name) else {
            return Some(format!(
                "{name} is not among the dependencies yet; add it with `cargo add {name}`"
            ));
        };
        let version = version(dependency).filter(|version| !is_version(version, wanted))?;
        Some(format!("cloakroom supports {name} {wanted}; this project has {version}"))
    }

    /// Returns the features for the framework, the driver and the integrations among the dependencies.
    fn features(&self, driver: DriverKind) -> Vec<&'static str> {
        let driver = match driver {
            DriverKind::Redis | DriverKind::Postgres | DriverKind::MySql | DriverKind::Sqlite => {
                Some(driver.name())
            }
            _ => None,
        };
        let uses = |name: &&'static str| uses(&self.dependencies, name);
        let integrations = INTEGRATIONS.into_iter().filter(uses);
        [self.framework.feature()].into_iter().chain(driver).chain(integrations).collect()
    }

    /// Returns `true` if the crate is among the dependencies.
    pub(super) fn has_cloakroom(&self) -> bool {
        self.dependencies.contains_key(CRATE)
    }

    /// Returns the arguments of the `cargo add` that adds the crate or its missing features.
    ///
    /// # Errors
    /// If `--path` names a folder without the crate.
    pub(super) fn missing_dependency(
        &self,
        options: &Install,
        driver: DriverKind,
    ) -> Result<Option<Vec<String>>, Failure> {
        let (name, features) = (CRATE, self.features(driver));
        let existing = self.dependencies.get(name);
        let listed = existing.and_then(|dependency| dependency.get("features")?.as_array());
        let is_listed = |feature: &&&str| {
            listed.is_some_and(|all| all.iter().any(|name| name.as_str() == Some(**feature)))
        };
        let missing: Vec<_> =
            features.iter().filter(|feature| !is_listed(feature)).copied().collect();
        if existing.is_some() && missing.is_empty() {
            return Ok(None);
        }
        let mut arguments = vec![name.to_owned()];
        if !missing.is_empty() {
            arguments.extend(["--features".to_owned(), missing.join(",")]);
        }
        if let Some(checkout) = options.path.as_deref().filter(|_| existing.is_none()) {
            let folder: PathBuf = checkout.join("crates").join(name);
            if !folder.join("Cargo.toml").is_file() {
                let problem = format!("--path: there is no {name} in {}", folder.display());
                return Err(Failure::unusable(problem));
            }
            arguments.extend(["--path".to_owned(), folder.display().to_string()]);
        }
        Ok(Some(arguments))
    }
}

/// The crate that an application adds.
const CRATE: &str = "cloakroom";

/// Finds the framework among the dependencies.
fn used(dependencies: &Table) -> Result<Framework, Failure> {
    let frameworks = [Framework::Axum, Framework::Actix].into_iter();
    match frameworks
        .filter(|framework| uses(dependencies, framework.upstream().0))
        .collect::<Vec<_>>()[..]
    {
        [framework] => Ok(framework),
        [] => Err(Failure::unusable(
            "neither axum nor actix-web is among the dependencies; `--framework axum` or \
             `--framework actix` is accepted",
        )),
        _ => Err(Failure::unusable(
            "both axum and actix-web are among the dependencies; choose one with `--framework`",
        )),
    }
}

fn uses(dependencies: &Table, name: &str) -> bool {
    dependency(dependencies, name).is_some()
}

/// Finds a crate among the dependencies, even if it is renamed.
fn dependency<'t>(dependencies: &'t Table, name: &str) -> Option<&'t Value> {
    let is_named = |(key, value): &(&String, &Value)| {
        let renamed = value.get("package").and_then(Value::as_str);
        renamed.unwrap_or(key) == name
    };
    dependencies.iter().find(is_named).map(|(_, value)| value)
}

fn version(dependency: &Value) -> Option<&str> {
    dependency.as_str().or_else(|| dependency.get("version")?.as_str())
}

/// Returns `true` if a requirement such as `0.8`, `^0.8.4` or `=4.1` is for this version.
fn is_version(requirement: &str, wanted: &str) -> bool {
    let numbers = requirement.trim_start_matches(['^', '=', '~', ' ']);
    let rest = numbers.strip_prefix(wanted);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Returns `true` if the manifest of the workspace is in another folder.
fn is_in_workspace() -> bool {
    let located = |arguments: &[&str]| {
        let run =
            cargo().args(["locate-project", "--message-format", "plain"]).args(arguments).output();
        run.ok().filter(|run| run.status.success()).map(|run| run.stdout)
    };
    located(&["--workspace"]) != located(&[])
}

/// Runs `cargo add`, with `--dry-run` if nothing should change.
pub(super) fn cargo_add(arguments: &[String], dry_run: bool) -> Result<(), Failure> {
    let command = format!("`cargo add {}`", arguments.join(" "));
    let mut add = cargo();
    add.args(["add", "--quiet"]).args(dry_run.then_some("--dry-run")).args(arguments);
    let run = add.output().map_err(|error| Failure::new(format!("run {command}"), error))?;
    if run.status.success() {
        return Ok(());
    }
    let problem = String::from_utf8_lossy(&run.stderr);
    let problem = problem.trim().trim_start_matches("error: ");
    let unpublished = problem.contains("could not be found in registry");
    let hint = if unpublished { "; `--path FOLDER` takes it from a checkout" } else { "" };
    Err(Failure::failed(format!("{command} failed: {problem}{hint}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> Table {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn the_framework_is_found_under_any_name() {
        assert_eq!(used(&table("axum = '0.8'")).unwrap(), Framework::Axum);
        let renamed = "web = { package = 'actix-web', version = '4' }";
        assert_eq!(used(&table(renamed)).unwrap(), Framework::Actix);
        assert_eq!(used(&table("axum = { workspace = true }")).unwrap(), Framework::Axum);
        assert!(used(&table("")).unwrap_err().to_string().contains("--framework"));
        assert!(used(&table("axum = '0.8'\nactix-web = '4'")).is_err());
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        for (requirement, fits) in
            [("0.8", true), ("^0.8.4", true), ("0.80", false), ("0.7.9", false), ("=0.8.1", true)]
        {
            assert_eq!(is_version(requirement, "0.8"), fits, "{requirement}");
        }
    }
}
