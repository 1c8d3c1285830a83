//! One of the two stores of a migration: its identity, and the log that it keeps for later runs.

use std::time::Duration;

use crate::{failure::Failure, setup::SharedStore};

/// The time for which Redis and databases keep a journal after the last run.
const JOURNAL_TTL: Duration = Duration::from_hours(24 * 30);

pub(super) struct Endpoint<'a> {
    store: &'a SharedStore,
    /// Unique among all stores of the same driver.
    id: String,
}

impl<'a> Endpoint<'a> {
    pub(super) fn of(shared: &'a SharedStore) -> Result<Self, Failure> {
        let id = match shared {
            #[cfg(unix)]
            SharedStore::File(store) => files::id(store.location())?,
            SharedStore::Redis(store) => store.place(),
            SharedStore::Database(store) => store.place().to_owned(),
        };
        Ok(Self { store: shared, id })
    }

    /// Stores the id, so that a later run finds the same one.
    pub(super) fn keep_id(&self) -> Result<(), Failure> {
        match self.store {
            #[cfg(unix)]
            SharedStore::File(store) => files::keep_id(store.location(), &self.id),
            SharedStore::Redis(_) | SharedStore::Database(_) => Ok(()),
        }
    }

    /// Returns the driver and the id.
    pub(super) fn name(&self) -> String {
        format!("{} {}", self.store.store().name(), self.id)
    }

    /// Returns the driver and the location, for messages.
    pub(super) fn description(&self) -> String {
        match self.store {
            #[cfg(unix)]
            SharedStore::File(store) => format!("file ({})", store.location().display()),
            SharedStore::Redis(store) => format!("redis ({})", store.place()),
            SharedStore::Database(store) => store.place().to_owned(),
        }
    }

    /// Returns the location of the log `name`, for messages.
    pub(super) fn log_description(&self, name: &str) -> String {
        match self.store {
            #[cfg(unix)]
            SharedStore::File(store) => files::log(store.location(), name).display().to_string(),
            SharedStore::Redis(_) | SharedStore::Database(_) => {
                format!("log:{name} in {}", self.description())
            }
        }
    }

    /// Returns the complete lines of the log `name`.
    pub(super) async fn read(&self, name: &str) -> Result<Vec<String>, Failure> {
        match self.store {
            #[cfg(unix)]
            SharedStore::File(store) => files::read(&files::log(store.location(), name)),
            SharedStore::Redis(store) => Ok(store.log(name).await?),
            SharedStore::Database(store) => Ok(store.log(name).await?),
        }
    }

    /// Appends lines to the log `name`. They are on the disk afterwards.
    pub(super) async fn append(&self, name: &str, lines: &[String]) -> Result<(), Failure> {
        match self.store {
            #[cfg(unix)]
            SharedStore::File(store) => files::append(&files::log(store.location(), name), lines),
            SharedStore::Redis(store) => Ok(store.append_to_log(name, lines, JOURNAL_TTL).await?),
            SharedStore::Database(store) => {
                Ok(store.append_to_log(name, lines, JOURNAL_TTL).await?)
            }
        }
    }
}

/// The files of a migration in a folder of session files. A `.gitignore` beside them keeps the folder
/// out of git, wherever it is.
#[cfg(unix)]
mod files {
    use std::{
        fs::{File, OpenOptions},
        io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
        os::unix::fs::OpenOptionsExt,
        path::{Path, PathBuf},
    };

    use crate::{env_file, failure::Failure};

    /// The file with the id of the folder: 16 random bytes in hexadecimal. A folder that moves keeps
    /// its id, and a folder that is made again gets another.
    const ID: &str = ".store-id";

    /// Returns the id of the folder, or a new one.
    pub(super) fn id(location: &Path) -> Result<String, Failure> {
        let path = location.join(ID);
        let attempted = |error: io::Error| Failure::new(format!("use {}", path.display()), error);
        let text = env_file::read(&path).map_err(attempted)?;
        let id = text.trim();
        if id.is_empty() {
            let mut random = [0; 16];
            getrandom::fill(&mut random).map_err(|error| attempted(io::Error::other(error)))?;
            return Ok(format!("{:032x}", u128::from_ne_bytes(random)));
        }
        if id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(id.to_owned());
        }
        let problem =
            "it does not contain 32 hexadecimal digits; delete it, and the next run makes one";
        Err(attempted(io::Error::new(ErrorKind::InvalidData, problem)))
    }

    /// Writes the id, and a `.gitignore` for the whole folder unless it has one.
    pub(super) fn keep_id(location: &Path, id: &str) -> Result<(), Failure> {
        let ignored = location.join(".gitignore");
        if !ignored.exists() {
            replace(&ignored, "*\n")?;
        }
        replace(&location.join(ID), &format!("{id}\n"))
    }

    fn replace(path: &Path, text: &str) -> Result<(), Failure> {
        let written = env_file::replace(path, text);
        written.map_err(|error| Failure::new(format!("write {}", path.display()), error))
    }

    pub(super) fn log(location: &Path, name: &str) -> PathBuf {
        location.join(format!(".log-{name}"))
    }

    pub(super) fn read(path: &Path) -> Result<Vec<String>, Failure> {
        let text = env_file::read(path);
        let text = text.map_err(|error| Failure::new(format!("read {}", path.display()), error))?;
        let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        Ok(whole.map(ToOwned::to_owned).collect())
    }

    pub(super) fn append(path: &Path, lines: &[String]) -> Result<(), Failure> {
        let mut text = lines.join("\n");
        if lines.is_empty() {
            return Ok(());
        }
        text.push('\n');
        let appended = open_to_append(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        appended.map_err(|error| Failure::new(format!("write {}", path.display()), error))
    }

    /// Opens a file to append lines. Ends a truncated last line so that it stays invalid, because the
    /// next line would otherwise become a part of it.
    fn open_to_append(path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let mut file = options.create(true).read(true).append(true).mode(0o600).open(path)?;
        let mut last = [b'\n'];
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
        }
        if last != [b'\n'] {
            file.write_all(b" cut\n")?;
        }
        Ok(file)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_folder_keeps_its_id_and_another_has_its_own() {
            let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
            let [first, other] = folders.each_ref().map(|folder| id(folder.path()).unwrap());
            assert_ne!(first, other);
            assert_eq!(std::fs::read_dir(folders[0].path()).unwrap().count(), 0, "not kept yet");
            keep_id(folders[0].path(), &first).unwrap();
            assert_eq!(id(folders[0].path()).unwrap(), first);
            let ignored = folders[0].path().join(".gitignore");
            assert_eq!(std::fs::read_to_string(&ignored).unwrap(), "*\n");
            std::fs::write(&ignored, "ours\n").unwrap();
            keep_id(folders[0].path(), &first).unwrap();
            assert_eq!(std::fs::read_to_string(&ignored).unwrap(), "ours\n", "left alone");
            std::fs::write(folders[0].path().join(ID), "cut").unwrap();
            let failure = id(folders[0].path()).unwrap_err().to_string();
            assert!(failure.contains(".store-id") && failure.contains("delete it"), "{failure}");
        }

        #[test]
        fn a_truncated_line_spoils_no_other() {
            let folder = tempfile::tempdir().unwrap();
            let path = log(folder.path(), "j");
            let line = |text: &str| [text.to_owned()];
            append(&path, &line("first line")).unwrap();
            let whole = std::fs::read(&path).unwrap();
            for cut in 1..whole.len() {
                std::fs::write(&path, &whole[..cut]).unwrap();
                assert!(read(&path).unwrap().is_empty(), "cut at {cut}");
                append(&path, &line("second line")).unwrap();
                let lines = read(&path).unwrap();
                assert_eq!(lines.last().map(String::as_str), Some("second line"), "cut at {cut}");
                assert!(lines[0].ends_with(" cut"), "cut at {cut}");
            }
        }
    }
}
