//! The files that an installation writes.

use std::{
    io,
    path::{Path, PathBuf},
};

use cloakroom::{AppKeys, settings::Settings};
use similar::TextDiff;

use crate::{
    arguments::{Driver, Install},
    env_file,
    failure::Failure,
};

const SETTINGS: &str = "config/session.toml";
const VARIABLES: &str = ".env";
const IGNORED: &str = ".gitignore";

/// A file as it is, and as it is to be.
pub(super) struct Change {
    path: PathBuf,
    said: String,
    before: String,
    after: String,
    secret: bool,
}

/// Every file that has to change, if any.
pub(super) fn all(options: &Install) -> Result<Vec<Change>, Failure> {
    let mut changes = vec![settings(options)?, key()?, ignored(options)?];
    changes.retain(|change| change.before != change.after);
    Ok(changes)
}

fn read(path: &str) -> Result<String, Failure> {
    env_file::read(Path::new(path)).map_err(|error| Failure::new(format!("read {path}"), error))
}

/// A settings file that is there stays, unless it is to be overwritten.
fn settings(options: &Install) -> Result<Change, Failure> {
    let before = read(SETTINGS)?;
    let after = if before.is_empty() || options.force {
        with_driver(&Settings::template(), options.driver)
    } else {
        before.clone()
    };
    let said = format!("write {SETTINGS}");
    Ok(Change { path: SETTINGS.into(), said, before, after, secret: false })
}

/// The driver is the one setting that was asked for.
fn with_driver(template: &str, driver: Driver) -> String {
    let name = match driver {
        Driver::Cookie => "cookie",
        Driver::Memory => "memory",
        Driver::File => "file",
        Driver::Redis => "redis",
    };
    template.replacen("#driver = \"cookie\"", &format!("driver = \"{name}\""), 1)
}

fn key() -> Result<Change, Failure> {
    let before = read(VARIABLES)?;
    let after = match env_file::app_key(&before) {
        Some(_) => before.clone(),
        None => env_file::with_app_key(&before, &AppKeys::generate()),
    };
    let said = format!("put a new APP_KEY into {VARIABLES}");
    Ok(Change { path: VARIABLES.into(), said, before, after, secret: true })
}

/// What must not be committed.
fn ignored(options: &Install) -> Result<Change, Failure> {
    let before = read(IGNORED)?;
    let sessions = (options.driver == Driver::File).then_some("/tmp/sessions");
    let wanted = [Some("/.env"), sessions].into_iter().flatten();
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
    let said = format!("have git leave secrets and sessions alone in {IGNORED}");
    Ok(Change { path: IGNORED.into(), said, before, after, secret: false })
}

impl Change {
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn said(&self) -> &str {
        &self.said
    }

    /// What changes, line by line. A key is not shown.
    pub(super) fn diff(&self) -> String {
        if self.secret {
            return "+APP_KEY=base64:…".to_owned();
        }
        let name = self.path.display().to_string();
        let diff = TextDiff::from_lines(&self.before, &self.after);
        diff.unified_diff().context_radius(1).header(&name, &name).to_string()
    }

    pub(super) fn make(&self) -> Result<(), Failure> {
        let written = if self.secret {
            env_file::write(&self.path, &self.after)
        } else {
            write(&self.path, &self.after)
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
