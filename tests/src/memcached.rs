//! A memcached server for tests, on a free port of loopback. It ends with the test.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crate::redis::{ask, free_port};

const TIMEOUT: Duration = Duration::from_secs(20);
const ATTEMPTS: usize = 10;

/// A running `memcached`. Dropping it ends it.
#[derive(Debug)]
pub struct MemcachedServer {
    port: u16,
    process: Child,
}

impl MemcachedServer {
    /// Starts a server with these additional arguments.
    ///
    /// # Panics
    /// When it does not come up; where the program is missing, saying what to install.
    pub fn start(arguments: &[&str]) -> Self {
        let start = || Self::start_on(free_port(), arguments);
        let mut started = std::iter::repeat_with(start).take(ATTEMPTS);
        started.find_map(|server| server).unwrap_or_else(|| {
            panic!("memcached did not start in {ATTEMPTS} attempts");
        })
    }

    /// Returns `None` if another program took the port first.
    fn start_on(port: u16, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new("memcached");
        command.args(["-l", "127.0.0.1", "-p", &port.to_string(), "-U", "0"]);
        // Only a server that root starts changes its user, and it has to.
        command.args(["-u", "nobody"]).args(arguments);
        let process = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = process.unwrap_or_else(|error| {
            panic!("memcached: {error}; install it with: apt-get install memcached")
        });
        let mut server = Self { port, process };
        let own = format!("STAT pid {}\r\n", server.process.id());
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            if ask(server.address(), "stats").is_some_and(|stats| stats.contains(&own)) {
                return Some(server);
            }
            if !matches!(server.process.try_wait(), Ok(None)) {
                return None;
            }
            sleep(Duration::from_millis(5));
        }
        None
    }

    /// Returns the address that it listens on.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Ends the process at once and starts an empty server on the same port.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.end();
        let started = Self::start_on(self.port, &[]);
        *self = started.unwrap_or_else(|| panic!("memcached did not come up again"));
    }

    /// Ends the process at once.
    pub fn end(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Drop for MemcachedServer {
    fn drop(&mut self) {
        self.end();
    }
}
