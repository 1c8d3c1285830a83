//! A Redis server that keeps nothing on disk.

use std::{
    net::{SocketAddr, TcpStream},
    process::Stdio,
    thread::sleep,
    time::{Duration, Instant},
};

use cloakroom_bench::Failure;
use tempfile::TempDir;

use crate::process::{CLIENTS, Process, free_port, pinned};

const TIMEOUT: Duration = Duration::from_secs(10);
const ATTEMPTS: usize = 5;
const INSTALL: &str =
    "if it is missing, install it with: apt-get install --no-install-recommends redis-server";

/// A running `redis-server`. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Redis {
    /// Its port on loopback.
    pub(crate) port: u16,
    _process: Process,
    _folder: TempDir,
}

impl Redis {
    /// Starts a server on a free port. Tries again if another program takes the port first.
    pub(crate) fn start() -> Result<Self, Failure> {
        for _ in 0..ATTEMPTS {
            if let Some(server) = Self::start_on(free_port()?)? {
                return Ok(server);
            }
        }
        Err(format!("redis-server does not start; {INSTALL}"))
    }

    fn start_on(port: u16) -> Result<Option<Self>, Failure> {
        let folder = tempfile::tempdir().map_err(|error| format!("no folder: {error}"))?;
        let mut command = pinned(CLIENTS, "redis-server");
        command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        let started = Process::start(command);
        let mut process = started.map_err(|failure| format!("{failure}; {INSTALL}"))?;
        let (address, started) = (SocketAddr::from(([127, 0, 0, 1], port)), Instant::now());
        while process.is_running() && started.elapsed() < TIMEOUT {
            if TcpStream::connect(address).is_ok() && process.is_running() {
                return Ok(Some(Self { port, _process: process, _folder: folder }));
            }
            sleep(Duration::from_millis(20));
        }
        Ok(None)
    }
}
