//! The file of variables, changed line by line so that everything else in it stays as it is.

use std::{
    io::{self, ErrorKind, Write},
    path::Path,
};

use tempfile::NamedTempFile;

const APP_KEY: &str = "APP_KEY";

/// The text of a file, or none where there is no file.
pub(crate) fn read(path: &Path) -> io::Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        other => other,
    }
}

/// The keys that the text sets, if it sets any.
pub(crate) fn app_key(text: &str) -> Option<&str> {
    let value = text.lines().find_map(value_of)?.trim();
    let value = value.trim_matches(['"', '\'']);
    (!value.is_empty()).then_some(value)
}

fn value_of(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = line.strip_prefix("export ").unwrap_or(line);
    line.trim_start().strip_prefix(APP_KEY)?.trim_start().strip_prefix('=')
}

/// The text with `APP_KEY` set to `keys`, in its old place or at the end.
pub(crate) fn with_app_key(text: &str, keys: &str) -> String {
    let line = format!("{APP_KEY}={keys}");
    if text.lines().any(|it| value_of(it).is_some()) {
        let lines = text.lines().map(|it| if value_of(it).is_some() { &line } else { it });
        return lines.fold(String::new(), |text, line| text + line + "\n");
    }
    let gap = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    format!("{text}{gap}{line}\n")
}

/// Puts a file that holds secrets in place as a whole, so that no crash loses the keys of before. Only
/// its owner may read a new one; one that is there keeps its permissions, and a link leads on to it.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let path = match std::fs::canonicalize(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => path.to_owned(),
        other => other?,
    };
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    if let Ok(before) = std::fs::metadata(&path) {
        file.as_file().set_permissions(before.permissions())?;
    }
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    file.persist(&path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_set_in_place_and_the_rest_stays() {
        let text = "# ours\nexport APP_KEY='base64:old'\nRUST_LOG=info\n";
        assert_eq!(app_key(text), Some("base64:old"));
        assert_eq!(with_app_key(text, "k"), "# ours\nAPP_KEY=k\nRUST_LOG=info\n");
        assert_eq!(with_app_key("A=1", "k"), "A=1\nAPP_KEY=k\n");
        assert_eq!(with_app_key("", "k"), "APP_KEY=k\n");
        assert_eq!(app_key("# APP_KEY=no\nAPP_KEYS=no\nAPP_KEY=\n"), None);
    }
}
