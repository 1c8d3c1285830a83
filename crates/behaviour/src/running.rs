//! A server in a process of its own, which ends with the test.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

/// A running server process. Dropping it ends the process.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts a server and waits for the line that says where it listens.
    pub fn start(mut command: Command) -> (Self, SocketAddr) {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut running = Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
        let output = running.0.stdout.take().unwrap_or_else(|| panic!("no output"));
        for line in BufReader::new(output).lines() {
            let line = line.unwrap_or_else(|error| panic!("{error}"));
            if let Some((_, address)) = line.split_once("http://") {
                let address = address.trim().trim_end_matches('/').parse();
                return (running, address.unwrap_or_else(|error| panic!("{line}: {error}")));
            }
        }
        panic!("{command:?} ended before it listened");
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
