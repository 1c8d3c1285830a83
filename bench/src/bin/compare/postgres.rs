//! A PostgreSQL server with its default settings, so that each commit waits for the disk.

use std::{
    fs,
    os::unix::fs::{MetadataExt, chown},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use cloakroom_bench::Failure;
use tempfile::TempDir;

use crate::process::{CLIENTS, Process, free_port, pinned};

const TIMEOUT: Duration = Duration::from_secs(20);
const ATTEMPTS: usize = 5;
const INSTALL: &str =
    "if it is missing, install it with: apt-get install --no-install-recommends postgresql";

/// A running PostgreSQL server, whose user `cloakroom` has no password. Dropping it stops it and removes
/// its data.
#[derive(Debug)]
pub(crate) struct Postgres {
    /// Its port on loopback.
    pub(crate) port: u16,
    process: Process,
    _folder: TempDir,
}

impl Postgres {
    /// Starts a server on a free port, with its data in a new folder inside of `parent`. Tries again if
    /// another program takes the port first.
    pub(crate) fn start(parent: &Path) -> Result<Self, Failure> {
        let folder = TempDir::new_in(parent).map_err(|error| format!("no folder: {error}"))?;
        let account = Account::of(folder.path())?;
        let data = folder.path().join("data");
        let initialize = ["--auth=trust", "--username=cloakroom", "--locale=C", "--encoding=UTF8"];
        let mut command = account.command(&program("initdb"));
        command.args(initialize).arg("--pgdata").arg(&data).current_dir(folder.path());
        let output = command.output().map_err(|error| format!("initdb: {error}; {INSTALL}"))?;
        if !output.status.success() {
            let reason = String::from_utf8_lossy(&output.stderr);
            return Err(format!("initdb failed: {}; {INSTALL}", reason.trim()));
        }
        for _ in 0..ATTEMPTS {
            let port = free_port()?;
            if let Some(process) = start_on(port, &account, &data)? {
                return Ok(Self { port, process, _folder: folder });
            }
        }
        let log = fs::read_to_string(log_file(&data)).unwrap_or_default();
        Err(format!("PostgreSQL does not start: {}", log.trim()))
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // This signal closes the connections and stops the server cleanly.
        drop(self.process.end("INT"));
    }
}

/// Returns the process once the server accepts connections, or `None` if it has ended or takes too long.
fn start_on(port: u16, account: &Account, data: &Path) -> Result<Option<Process>, Failure> {
    let log = fs::File::create(log_file(data)).map_err(|error| format!("no log: {error}"))?;
    let mut command = account.command(&program("postgres"));
    command.current_dir(data).stdout(Stdio::null()).stderr(log).arg("-D").arg(data);
    for setting in [
        format!("port={port}"),
        "listen_addresses=127.0.0.1".to_owned(),
        "unix_socket_directories=".to_owned(),
    ] {
        command.args(["-c", &setting]);
    }
    let (mut process, started) = (Process::start(command)?, Instant::now());
    while process.is_running() && started.elapsed() < TIMEOUT {
        if is_ready(data) {
            return Ok(Some(process));
        }
        sleep(Duration::from_millis(20));
    }
    process.end("QUIT").map(|()| None)
}

/// Returns whether the server has written into its lock file that it accepts connections.
fn is_ready(data: &Path) -> bool {
    let file = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    file.lines().nth(7).is_some_and(|state| state.trim() == "ready")
}

fn log_file(data: &Path) -> PathBuf {
    data.with_file_name("log")
}

/// The user as whom the server runs, because it refuses to run as root.
#[derive(Debug)]
enum Account {
    /// The user of this process.
    Own,
    /// The user and the group with these numbers.
    Other(u32, u32),
}

impl Account {
    /// Returns the user of this process, who owns the folder. If that is root, takes the user `postgres`
    /// or `nobody`, and gives the folder to that user.
    fn of(folder: &Path) -> Result<Self, Failure> {
        let owner = fs::metadata(folder).map_err(|error| error.to_string())?.uid();
        if owner != 0 {
            return Ok(Self::Own);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let found = ["postgres", "nobody"].iter().find_map(|name| ids(&users, name));
        let (user, group) = found.ok_or("there is no user postgres or nobody")?;
        chown(folder, Some(user), Some(group)).map_err(|error| error.to_string())?;
        Ok(Self::Other(user, group))
    }

    /// Returns a command that runs a program as this user. The program ends with this process, however that
    /// ends.
    fn command(&self, program: &Path) -> Command {
        let mut command = pinned(CLIENTS, "setpriv");
        if let Self::Other(user, group) = self {
            command.args([&format!("--reuid={user}"), &format!("--regid={group}")]);
            command.arg("--clear-groups");
        }
        command.arg("--pdeathsig=INT").arg(program);
        command
    }
}

/// Returns the numbers of a user and of the user's group in the text of `/etc/passwd`.
fn ids(users: &str, name: &str) -> Option<(u32, u32)> {
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.first() == Some(&name))?;
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// Finds a program in the folder of the newest version that Debian has installed, or on the path.
fn program(name: &str) -> PathBuf {
    let version = |folder: &PathBuf| folder.file_name()?.to_str()?.parse::<u32>().ok();
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions.map(|entry| entry.path()).max_by_key(version);
    let file = newest.map(|folder| folder.join("bin").join(name)).filter(|file| file.is_file());
    file.unwrap_or_else(|| PathBuf::from(name))
}

/// Returns the name and the version of the server.
pub(crate) fn version() -> String {
    let output = Command::new(program("postgres")).arg("--version").output();
    let output = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = output.as_deref().unwrap_or_default().split_once("(PostgreSQL) ");
    let version = version.and_then(|(_, rest)| rest.split_whitespace().next());
    format!("PostgreSQL {}", version.unwrap_or("of unknown version"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533:nobody:/:/bin/false\n";
        assert_eq!(ids(users, "nobody"), Some((65534, 65533)));
        assert_eq!(ids(users, "body"), None);
    }
}
