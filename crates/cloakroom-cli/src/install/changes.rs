//! The files that an installation writes.

use std::{
    io,
    path::{Path, PathBuf},
};

use cloakroom::{
    AppKeys,
    settings::{DriverKind, Settings, Variables},
};
use similar::TextDiff;

use crate::{
    arguments::Install,
    env_file::{self, EnvFile},
    failure::Failure,
};

const SETTINGS: &str = "config/session.toml";
const VARIABLES: &str = ".env";
const GITIGNORE: &str = ".gitignore";
/// The variable that lets an application create its tables by itself.
const MIGRATE: &str = "SESSION_DATABASE_MIGRATE";

/// A change of one file.
pub(super) struct Change {
    path: PathBuf,
    description: String,
    before: String,
    after: String,
    /// The keys that an application has to read from a file of variables afterwards.
    keys: Option<String>,
}

/// Returns the driver that the settings file has afterwards.
///
/// # Errors
/// If an existing settings file has another driver than `--driver`.
pub(super) fn driver(options: &Install) -> Result<DriverKind, Failure> {
    let asked = options.driver.map(DriverKind::from);
    if options.force || read(SETTINGS)?.is_empty() {
        return Ok(asked.unwrap_or(DriverKind::Cookie));
    }
    let existing = Settings::load_with(Some(Path::new(SETTINGS)), &Variables::default())?.driver;
    match asked.filter(|asked| *asked != existing) {
        None => Ok(existing),
        Some(asked) => Err(Failure::unusable(format!(
            "{SETTINGS} exists, and its driver is `{}`; set `driver = \"{}\"` in it, or overwrite it with \
             --force",
            existing.name(),
            asked.name()
        ))),
    }
}

/// Returns the changes of all files that have to change.
pub(super) fn all(
    options: &Install,
    driver: DriverKind,
    package: &str,
) -> Result<Vec<Change>, Failure> {
    let mut changes = vec![settings(options, driver, package)?, variables(driver)?, gitignore()?];
    changes.retain(|change| change.before != change.after);
    Ok(changes)
}

fn read(path: &str) -> Result<String, Failure> {
    env_file::read(Path::new(path)).map_err(|error| Failure::new(format!("read {path}"), error))
}

/// Returns the change of the settings file. An existing file stays unless `--force` is set.
fn settings(options: &Install, driver: DriverKind, package: &str) -> Result<Change, Failure> {
    let before = read(SETTINGS)?;
    let after = if before.is_empty() || options.force {
        filled_in(&Settings::template(), driver, package)
    } else {
        before.clone()
    };
    let verb = if before.is_empty() { "write" } else { "replace" };
    let description = format!("{verb} {SETTINGS}");
    Ok(Change { path: SETTINGS.into(), description, before, after, keys: None })
}

/// Sets the driver, and the prefix of keys in Redis, because applications on one server would otherwise
/// share their sessions.
fn filled_in(template: &str, driver: DriverKind, package: &str) -> String {
    let driver = format!("driver = \"{}\"", driver.name());
    let prefix = format!("key_prefix = \"{package}:session:\"");
    template.replacen("#driver = \"cookie\"", &driver, 1).replacen(
        "#key_prefix = \"session:\"",
        &prefix,
        1,
    )
}

/// Returns the change of the file of variables, which only development reads. It gets a key, and for a
/// database the setting that lets the application create its tables.
fn variables(driver: DriverKind) -> Result<Change, Failure> {
    let file = EnvFile::read(Path::new(VARIABLES)).map_err(Failure::failed)?;
    let before = file.text().to_owned();
    let (mut after, mut added) = (before.clone(), Vec::new());
    let keys = file.keys().map_or_else(AppKeys::generate, ToOwned::to_owned);
    if file.keys().is_none() {
        after = file.with_keys(&keys);
        added.push("a new APP_KEY".to_owned());
    }
    let is_database =
        matches!(driver, DriverKind::Postgres | DriverKind::MySql | DriverKind::Sqlite);
    if is_database && !before.contains(MIGRATE) {
        let line = format!("{MIGRATE}=true");
        after = with_line(after, &line);
        added.push(line);
    }
    let description = format!("add {} to {VARIABLES}", added.join(" and "));
    Ok(Change { path: VARIABLES.into(), description, before, after, keys: Some(keys) })
}

/// Adds a line to the end of a file.
fn with_line(mut text: String, line: &str) -> String {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text + line + "\n"
}

/// Returns the change that keeps the key and the session files out of git. It lists session files for
/// every driver, because `SESSION_DRIVER` can choose files at any time.
fn gitignore() -> Result<Change, Failure> {
    let before = read(GITIGNORE)?;
    let wanted = ["/.env", "/tmp/sessions*"].into_iter();
    let is_listed = |line: &&str| {
        let plain = |pattern: &str| pattern.trim().trim_matches('/').to_owned();
        before.lines().any(|pattern| plain(pattern) == plain(line))
    };
    let mut after = before.clone();
    for line in wanted.filter(|line| !is_listed(line)) {
        after = with_line(after, line);
    }
    let description = format!("list /.env and /tmp/sessions* in {GITIGNORE}");
    Ok(Change { path: GITIGNORE.into(), description, before, after, keys: None })
}

impl Change {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the change in words that follow "would:" or "did:".
    pub(super) fn description(&self) -> &str {
        &self.description
    }

    /// Returns the new lines. Shows no key, and no line that is removed, because it may have a password.
    pub(super) fn diff(&self) -> String {
        if self.keys.is_some() {
            return self.new_variables();
        }
        let name = self.path.display().to_string();
        let diff = TextDiff::from_lines(&self.before, &self.after);
        let diff = diff.unified_diff().context_radius(1).to_string();
        let shown = diff.lines().filter(|line| !line.starts_with('-')).collect::<Vec<_>>();
        format!("--- {name}\n+++ {name}\n{}", shown.join("\n"))
    }

    /// Returns the lines that a file of variables gets.
    fn new_variables(&self) -> String {
        let added = self.after.lines().filter(|line| self.before.lines().all(|old| old != *line));
        let shown = added.map(|line| {
            let is_key = line.contains("APP_KEY");
            if is_key { "+APP_KEY=base64:…".to_owned() } else { format!("+{line}") }
        });
        shown.collect::<Vec<_>>().join("\n")
    }

    pub(super) fn make(&self) -> Result<(), Failure> {
        let written = match &self.keys {
            Some(keys) => env_file::write(&self.path, &self.after, keys),
            None => write(&self.path, &self.after).map_err(|error| error.to_string()),
        };
        written.map_err(|error| Failure::new(format!("write {}", self.path.display()), error))
    }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}
