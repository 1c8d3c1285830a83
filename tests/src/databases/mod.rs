//! Database servers of the tests' own: on free ports of loopback, with data in a temporary folder,
//! ended with the test.
//!
//! A server ends when its value is dropped, and when the test process ends for any other reason: a
//! shell between the two waits on a pipe from the test process. The servers refuse to run as root, so
//! a test that runs as root starts them as another user. Their first data is made once in the target
//! folder, and then copied.
//!
//! A separate server takes a test half a second. Tests that neither stop the server nor change its
//! settings take a database of the server that all tests of a process share
//! ([`PostgresServer::shared`], [`PostgresServer::database`]).

mod account;
mod backend;
mod kind;
mod mariadb;
mod pgbouncer;
mod postgres;
mod process;
mod server;
mod template;

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub use backend::{Database, SqlBackend};
pub use kind::DatabaseServer;
pub use mariadb::{MariaDbServer, mariadb};
pub use pgbouncer::PgBouncer;
pub use postgres::{PostgresServer, psql};
pub use process::is_running;

/// The user of all servers, who has no password.
const USER: &str = "cloakroom";
/// The database that every server has from the start.
const DATABASE: &str = "cloakroom";

/// Finds a program in these folders, on the path, or where programs of administrators are.
fn program(name: &str, folders: &[PathBuf], package: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<_> = env::split_paths(&path).collect();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/usr/bin"].map(PathBuf::from);
    let candidates = folders.iter().chain(&on_path).chain(&usual).map(|folder| folder.join(name));
    candidates.into_iter().find(|file| file.is_file()).unwrap_or_else(|| {
        panic!(
            "{name} is missing; install it with: apt-get install --no-install-recommends {package}"
        )
    })
}

/// Runs a command in a folder. Returns what it prints.
fn output(words: &[String], folder: &Path) -> String {
    let mut command = Command::new(&words[0]);
    command.args(&words[1..]).current_dir(folder).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let [printed, errors] = [&output.stdout, &output.stderr].map(|it| String::from_utf8_lossy(it));
    assert!(output.status.success(), "{words:?} failed: {printed}{errors}");
    printed.trim_end().to_owned()
}

/// Turns the words of a command into strings.
fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(ToOwned::to_owned).into()
}

/// Returns the text of a path.
fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_else(|| panic!("{} is not UTF-8", path.display()))
}
