//! The common part of the servers: a folder, a port, and a process that starts and ends.

use std::{
    fs,
    net::{SocketAddr, TcpStream},
    path::Path,
    thread::sleep,
    time::Duration,
};

use tempfile::TempDir;

use super::{account::Account, process::Process, process::within};
use crate::redis::free_port;

const TIMEOUT: Duration = Duration::from_secs(20);
const ATTEMPTS: usize = 10;

/// The port of a server that is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// One that is free.
    Free,
    /// The one that the server had before.
    Same,
}

/// A server that may be running. Dropping it ends it and removes its folder.
#[derive(Debug)]
pub struct Server {
    name: &'static str,
    /// The signal that ends the server at once, when the test is over.
    signal: &'static str,
    port: u16,
    account: Account,
    // Before the folder, so that it is ended first.
    process: Option<Process>,
    folder: TempDir,
}

impl Server {
    /// Makes the folder of a server that runs as one of these users if the test runs as root.
    pub(super) fn new(name: &'static str, users: &[&str], signal: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
        let account = Account::find(folder.path(), users);
        account.take(folder.path());
        Self { name, signal, port: 0, account, process: None, folder }
    }

    /// Starts the process and waits until it is ready, which is asked with its id. Tries again if
    /// another program has the port.
    pub(super) fn start(
        &mut self,
        port: Port,
        command: impl Fn(&Self) -> Vec<String>,
        is_ready: impl Fn(&Self, u32) -> bool,
    ) {
        for _ in 0..ATTEMPTS {
            if port == Port::Free {
                self.port = free_port();
            }
            if self.attempt(&command(self), &is_ready) {
                return;
            }
            sleep(Duration::from_millis(100));
        }
        panic!("{} found no port in {ATTEMPTS} attempts", self.name);
    }

    /// Returns whether the server is ready; not if another program has the port.
    fn attempt(&mut self, command: &[String], is_ready: impl Fn(&Self, u32) -> bool) -> bool {
        drop(fs::remove_file(self.folder().join("log")));
        let words = [self.account.prefix(), command.to_vec()].concat();
        let mut process = Process::start(&words, self.folder(), self.signal);
        let mut has_ended = false;
        let id = process.id();
        let in_time = within(TIMEOUT, || {
            has_ended = process.has_ended();
            has_ended || is_ready(self, id)
        });
        if in_time && !has_ended {
            self.process = Some(process);
            return true;
        }
        let log = self.log();
        assert!(
            has_ended && log.contains("Address already in use"),
            "{} did not start within {TIMEOUT:?}; its log ends with:\n{}",
            self.name,
            last_lines(&log)
        );
        false
    }

    /// Stops the process with a signal, in its own time.
    pub(super) fn stop(&mut self, signal: &str) {
        let Some(mut process) = self.process.take() else { return };
        assert!(
            process.end(signal, TIMEOUT),
            "{} did not stop within {TIMEOUT:?}; its log ends with:\n{}",
            self.name,
            last_lines(&self.log())
        );
    }

    /// Ends the process and its children at once, as a crash would.
    pub(super) fn kill(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        assert!(process.kill(TIMEOUT), "{} did not end within {TIMEOUT:?}", self.name);
    }

    /// Freezes the process and its children.
    pub(super) fn pause(&self) {
        self.process.iter().for_each(Process::pause);
    }

    /// Lets them go on.
    pub(super) fn resume(&self) {
        self.process.iter().for_each(Process::resume);
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Whether something listens there.
    pub(super) fn accepts(&self) -> bool {
        TcpStream::connect_timeout(&self.address(), Duration::from_secs(1)).is_ok()
    }

    pub(super) fn account(&self) -> Account {
        self.account
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn log(&self) -> String {
        let log = fs::read(self.folder().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    pub(super) fn processes(&self) -> Vec<u32> {
        self.process.as_ref().map(Process::ids).unwrap_or_default()
    }
}

fn last_lines(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}
