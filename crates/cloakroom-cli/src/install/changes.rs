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
const IGNORED: &str = ".gitignore";
/// Settings that may hold one.
const SECRET: [&str; 3] = ["url", "password", "sentinel_password"];

/// A file as it is, and as it is to be.
pub(super) struct Change {
    path: PathBuf,
    said: String,
    before: String,
    after: String,
    /// The keys that an application has to read from it afterwards.
    keys: Option<String>,
}

/// The driver that the settings file has afterwards.
pub(super) fn driver(options: &Install) -> Result<DriverKind, Failure> {
    let asked = options.driver.map(DriverKind::from);
    if options.force || read(SETTINGS)?.is_empty() {
        return Ok(asked.unwrap_or(DriverKind::Cookie));
    }
    let there = Settings::load_with(Some(Path::new(SETTINGS)), &Variables::default())?.driver;
    match asked.filter(|asked| *asked != there) {
        None => Ok(there),
        Some(asked) => Err(Failure::unusable(format!(
            "{SETTINGS} is there already, and its driver is `{}`; set `driver = \"{}\"` in it, or have \
             it written anew with --force",
            there.name(),
            asked.name()
        ))),
    }
}

/// Every file that has to change, if any.
pub(super) fn all(
    options: &Install,
    driver: DriverKind,
    package: &str,
) -> Result<Vec<Change>, Failure> {
    let mut changes = vec![settings(options, driver, package)?, key()?, ignored()?];
    changes.retain(|change| change.before != change.after);
    Ok(changes)
}

fn read(path: &str) -> Result<String, Failure> {
    env_file::read(Path::new(path)).map_err(|error| Failure::new(format!("read {path}"), error))
}

/// A settings file that is there stays, unless it is to be overwritten.
fn settings(options: &Install, driver: DriverKind, package: &str) -> Result<Change, Failure> {
    let before = read(SETTINGS)?;
    let after = if before.is_empty() || options.force {
        filled_in(&Settings::template(), driver, package)
    } else {
        before.clone()
    };
    let said = format!("write {SETTINGS}");
    Ok(Change { path: SETTINGS.into(), said, before, after, keys: None })
}

/// Sets the driver, which was asked for, and the prefix of keys in Redis, so that no two applications
/// on one server share their sessions.
fn filled_in(template: &str, driver: DriverKind, package: &str) -> String {
    let driver = format!("driver = \"{}\"", driver.name());
    let prefix = format!("key_prefix = \"{package}:session:\"");
    template.replacen("#driver = \"cookie\"", &driver, 1).replacen(
        "#key_prefix = \"session:\"",
        &prefix,
        1,
    )
}

fn key() -> Result<Change, Failure> {
    let file = EnvFile::read(Path::new(VARIABLES)).map_err(Failure::failed)?;
    let before = file.text().to_owned();
    let (after, keys) = if file.keys().is_some() {
        (before.clone(), None)
    } else {
        let key = AppKeys::generate();
        (file.with_keys(&key), Some(key))
    };
    let said = format!("put a new APP_KEY into {VARIABLES}");
    Ok(Change { path: VARIABLES.into(), said, before, after, keys })
}

/// What must not be committed: the key, and session files, for `SESSION_DRIVER` can choose them any day.
fn ignored() -> Result<Change, Failure> {
    let before = read(IGNORED)?;
    let wanted = ["/.env", "/tmp/sessions"].into_iter();
    let is_there = |line: &&str| {
        let plain = |it: &str| it.trim().trim_matches('/').to_owned();
        before.lines().any(|it| plain(it) == plain(line))
    };
    let mut after = before.clone();
    for line in wanted.filter(|line| !is_there(line)) {
        if !after.is_empty() && !after.ends_with('\n') {
            after.push('\n');
        }
        after = after + line + "\n";
    }
    let said = format!("list /.env and /tmp/sessions in {IGNORED}");
    Ok(Change { path: IGNORED.into(), said, before, after, keys: None })
}

impl Change {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn said(&self) -> &str {
        &self.said
    }

    /// What changes, line by line. Neither a key is shown, nor a password that the file had.
    pub(super) fn diff(&self) -> String {
        if self.keys.is_some() {
            return "+APP_KEY=base64:…".to_owned();
        }
        let name = self.path.display().to_string();
        let diff = TextDiff::from_lines(&self.before, &self.after);
        let diff = diff.unified_diff().context_radius(1).header(&name, &name).to_string();
        diff.lines().map(without_secret).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn make(&self) -> Result<(), Failure> {
        let written = match &self.keys {
            Some(keys) => env_file::write(&self.path, &self.after, keys),
            None => write(&self.path, &self.after).map_err(|error| error.to_string()),
        };
        written.map_err(|error| Failure::new(format!("write {}", self.path.display()), error))
    }
}

fn without_secret(line: &str) -> &str {
    let (name, value) = line.split_once('=').unwrap_or((line, ""));
    let name = name.trim_start_matches(['+', '-', ' ']).trim();
    if SECRET.contains(&name) && !value.is_empty() { "-(a secret)" } else { line }
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, text)
}
