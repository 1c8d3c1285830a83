//! Processes that end with the run.

use std::{
    io::{BufRead, BufReader, Read, Seek},
    net::{SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
};

use cloakroom_bench::Failure;

/// The core of the servers.
pub(crate) const SERVERS: &str = "0";
/// The core of the load generator, of Redis and of PostgreSQL.
pub(crate) const CLIENTS: &str = "1";

/// A running program. Dropping it ends the program.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program.
    pub(crate) fn start(mut command: Command) -> Result<Self, Failure> {
        let child = command.stdin(Stdio::null()).spawn();
        child.map(Self).map_err(|error| format!("{command:?}: {error}"))
    }

    /// Starts a server and waits for the line that names its address.
    ///
    /// Standard error goes to a file: a server may log a line for each request that it refuses, and
    /// only the reason of a failed start is of interest.
    pub(crate) fn start_server(mut command: Command) -> Result<(Self, SocketAddr), Failure> {
        let failed = |error| format!("{error}");
        let mut errors = tempfile::tempfile().map_err(failed)?;
        command.stdout(Stdio::piped()).stderr(errors.try_clone().map_err(failed)?);
        let said = format!("{command:?}");
        let mut process = Self::start(command)?;
        let lines = process.0.stdout.take().map(|output| BufReader::new(output).lines());
        let address = |line: String| line.split_once("http://")?.1.trim().parse().ok();
        let address = lines.and_then(|lines| lines.map_while(Result::ok).find_map(address));
        if let Some(address) = address {
            return Ok((process, address));
        }
        let mut reason = String::new();
        errors.rewind().and_then(|()| errors.read_to_string(&mut reason)).map_err(failed)?;
        Err(format!("{said} did not start: {}", reason.trim()))
    }

    /// Sends the program a signal that ends it, and waits until it has ended.
    pub(crate) fn end(&mut self, signal: &str) -> Result<(), Failure> {
        if !self.is_running() {
            return Ok(());
        }
        let id = self.0.id().to_string();
        let asked = Command::new("kill").args(["-s", signal, &id]).status();
        asked.and_then(|_| self.0.wait()).map(drop).map_err(|error| format!("kill {id}: {error}"))
    }

    /// Returns whether the program has not ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Returns a command that runs a program on one core, if this machine can do that.
pub(crate) fn pinned(core: &str, program: &str) -> Command {
    if can_pin() {
        let mut command = Command::new("taskset");
        command.args(["-c", core, program]);
        command
    } else {
        Command::new(program)
    }
}

/// Moves this process to the core of the load generator, if this machine can do that.
pub(crate) fn pin_this() {
    if can_pin() {
        let mut command = Command::new("taskset");
        command.args(["-c", "-p", CLIENTS, &std::process::id().to_string()]);
        drop(command.stdout(Stdio::null()).status());
    }
}

/// Returns whether there are `taskset` and two cores.
pub(crate) fn can_pin() -> bool {
    let mut command = Command::new("taskset");
    command.args(["-c", CLIENTS, "taskset", "--version"]);
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Returns a port of loopback that is free.
pub(crate) fn free_port() -> Result<u16, Failure> {
    let address = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    address.map(|address| address.port()).map_err(|error| format!("no free port: {error}"))
}
