//! A server in a separate process, which ends with the test.

use std::{
    io::{BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

/// A running server process. Dropping it ends the process.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    /// Starts a server and waits for the line that says `http://` where it listens.
    pub fn start(command: Command) -> (Self, SocketAddr) {
        Self::start_until(command, |line| {
            let (_, rest) = line.split_once("http://")?;
            rest.split_whitespace().next()?.parse().ok()
        })
    }

    /// Starts a program and waits for a line of its output that `tells` what is needed of it.
    pub fn start_until<T>(mut command: Command, tells: impl Fn(&str) -> Option<T>) -> (Self, T) {
        let child = command.stdout(Stdio::piped()).spawn();
        let mut running = Self(child.unwrap_or_else(|error| panic!("{command:?}: {error}")));
        let output = running.0.stdout.take().unwrap_or_else(|| panic!("no output"));
        let mut lines = BufReader::new(output).lines().map_while(Result::ok);
        let told = lines.find_map(|line| tells(&line));
        let told = told.unwrap_or_else(|| panic!("{command:?} ended before it was ready"));
        (running, told)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
