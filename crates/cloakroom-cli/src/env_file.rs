//! The file of variables. Changes its `APP_KEY` and keeps everything else as it is.

use std::{
    fs::Metadata,
    io::{self, ErrorKind, Write},
    path::Path,
};

use cloakroom::{AppKeys, settings::Variables};
use tempfile::NamedTempFile;

use crate::output::warning;

const APP_KEY: &str = "APP_KEY";

/// The file, and the keys that an application reads from it.
#[derive(Debug)]
pub(crate) struct EnvFile {
    text: String,
    keys: Option<String>,
}

impl EnvFile {
    /// Reads a file. A file that does not exist is empty.
    ///
    /// # Errors
    /// If an application could not read the file, or if it sets `APP_KEY` several times: a change might
    /// then lose the key that the application uses.
    pub(crate) fn read(path: &Path) -> Result<Self, String> {
        let named = |problem: String| format!("{}: {problem}", path.display());
        let text = read(path).map_err(|error| named(error.to_string()))?;
        let variables = Variables::from_file(path).map_err(|error| error.to_string())?;
        let keys = variables.get(APP_KEY).map(ToOwned::to_owned);
        let times = text.lines().filter(|line| value_of(line).is_some()).count();
        if times > 1 {
            return Err(named(format!("it sets {APP_KEY} {times} times; keep one of them")));
        }
        Ok(Self { text, keys })
    }

    /// Returns the keys, newest first, separated by commas.
    pub(crate) fn keys(&self) -> Option<&str> {
        self.keys.as_deref()
    }

    /// Returns `true` if an application would accept the keys.
    pub(crate) fn keys_are_good(&self) -> bool {
        self.keys().is_some_and(|keys| AppKeys::parse(keys).is_ok())
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Returns the text with `APP_KEY` set to `keys`, in place of the old keys or at the end.
    /// [`write()`] fails if an application would not read these keys from it.
    pub(crate) fn with_keys(&self, keys: &str) -> String {
        let mut lines: Vec<_> = self.text.split_inclusive('\n').map(ToOwned::to_owned).collect();
        if let Some(line) = lines.iter_mut().find(|line| value_of(line).is_some()) {
            *line = self.with_value(line, keys);
        } else {
            if let Some(last) = lines.last_mut().filter(|last| !last.ends_with('\n')) {
                last.push('\n');
            }
            lines.push(format!("{APP_KEY}={keys}\n"));
        }
        lines.concat()
    }

    /// Sets the value of a line. Keeps quotes, a comment and the line ending. Returns a line that refers
    /// to a variable as it is, because a key in its place would lose the reference.
    fn with_value(&self, line: &str, keys: &str) -> String {
        if let Some(old) = self.keys() {
            return line.replacen(old, keys, 1);
        }
        if line.contains('$') {
            return line.to_owned();
        }
        let ending = &line[line.trim_end().len()..];
        let start = line.find('=').map_or("", |at| &line[..=at]);
        format!("{start}{keys}{ending}")
    }
}

/// Returns the text of a file. A file that does not exist is empty.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

/// Returns the value that a line sets `APP_KEY` to, if it sets it.
fn value_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line);
    line.trim_start().strip_prefix(APP_KEY)?.trim_start().strip_prefix('=')
}

/// Replaces a file of variables as a whole, so that a crash cannot lose the old keys. Follows a link.
///
/// Afterwards the file belongs to the current user and has mode 0600. A warning names the users that could
/// read it before and cannot any more.
///
/// # Errors
/// If an application would not read `keys` from `text`, or the file cannot be written. The file then
/// stays as it was.
pub(crate) fn write(path: &Path, text: &str, keys: &str) -> Result<(), String> {
    let path = match std::fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        other => other.map_err(|error| error.to_string())?,
    };
    let before = std::fs::metadata(&path).ok();
    let file = write_beside(&path, text).map_err(|error| error.to_string())?;
    let read = Variables::from_file(file.path()).map_err(|error| error.to_string())?;
    if read.get(APP_KEY) != Some(keys) {
        return Err(format!(
            "an application could not read the new {APP_KEY} from it; write {APP_KEY} as NAME=value on \
             one line, without variables ($)"
        ));
    }
    let file = file.persist(&path).map_err(|error| error.to_string())?;
    if let (Some(before), Ok(after)) = (before, file.metadata()) {
        warn_of_lost_access(&path, &before, &after);
    }
    Ok(())
}

/// Warns if the file belonged to another user, or others could read it, because an application that runs as
/// one of them can no longer read its keys.
#[cfg(unix)]
fn warn_of_lost_access(path: &Path, before: &Metadata, after: &Metadata) {
    use std::os::unix::fs::MetadataExt;
    let path = path.display();
    if before.uid() != after.uid() {
        let user = before.uid();
        warning(format!(
            "{path} belonged to user {user}, who can no longer read it; `chown {user} {path}` gives it \
             back"
        ));
    }
    if before.mode() & !after.mode() & 0o044 != 0 {
        let (group, mode) = (before.gid(), before.mode() & 0o777);
        let readers = if mode & 0o004 == 0 { format!("group {group}") } else { "all users".into() };
        warning(format!(
            "{readers} could read {path} before, and its own user alone can read it now; \
             `chgrp {group} {path} && chmod {mode:o} {path}` allows it again"
        ));
    }
}

#[cfg(not(unix))]
fn warn_of_lost_access(_: &Path, _: &Metadata, _: &Metadata) {}

/// Replaces a file as a whole. Its mode is 0600 afterwards.
pub(crate) fn replace(path: &Path, text: &str) -> io::Result<()> {
    Ok(write_beside(path, text)?.persist(path).map(drop)?)
}

/// Writes the text to a new file in the same folder, to replace the one at `path`. Its mode is 0600.
fn write_beside(path: &Path, text: &str) -> io::Result<NamedTempFile> {
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<EnvFile, String> {
        let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = folder.path().join(".env");
        std::fs::write(&path, text).map_err(|error| error.to_string())?;
        EnvFile::read(&path)
    }

    #[test]
    fn the_key_is_set_in_place_and_the_rest_stays() {
        for (before, after) in [
            (
                "# ours\nexport APP_KEY='base64:old'\nRUST_LOG=info\n",
                "# ours\nexport APP_KEY='k'\nRUST_LOG=info\n",
            ),
            ("APP_KEY=\"base64:old\" # prod\r\nA=1\r\n", "APP_KEY=\"k\" # prod\r\nA=1\r\n"),
            ("APP_KEY=\r\nA=1", "APP_KEY=k\r\nA=1"),
            ("A=1", "A=1\nAPP_KEY=k\n"),
            ("# APP_KEY=no\nAPP_KEYS=no\n", "# APP_KEY=no\nAPP_KEYS=no\nAPP_KEY=k\n"),
            ("", "APP_KEY=k\n"),
            ("APP_KEY=${NOWHERE}\n", "APP_KEY=${NOWHERE}\n"),
        ] {
            assert_eq!(file(before).unwrap().with_keys("k"), after);
        }
    }

    #[test]
    fn a_file_that_an_application_would_read_differently_is_refused() {
        assert_eq!(file("APP_KEY=a\n").unwrap().keys(), Some("a"));
        assert_eq!(file("APP_KEY=\n").unwrap().keys(), None);
        let twice = file("APP_KEY=a\nexport APP_KEY=b\n").unwrap_err();
        assert!(twice.contains("sets APP_KEY 2 times"), "{twice}");
        let broken = file("no line of variables\n").unwrap_err();
        assert!(broken.contains("is not `NAME=value`"), "{broken}");
    }
}
