//! A Redis server of a test.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A running `redis-server` on a free port of loopback. Dropping it ends the process.
#[derive(Debug)]
pub struct RedisServer {
    address: SocketAddr,
    process: Child,
    _folder: TempDir,
}

impl RedisServer {
    /// Starts the server. It stores nothing on disk.
    ///
    /// # Panics
    /// If the program is missing, with the command that installs it, or if the server does not start.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
        // The listener is closed before the server starts, so another program can take the port.
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
        let address = address.unwrap_or_else(|error| panic!("no free port: {error}"));
        let process = Command::new("redis-server")
            .current_dir(folder.path())
            .args(["--bind", "127.0.0.1", "--port", &address.port().to_string(), "--save", ""])
            .stdout(Stdio::null())
            .spawn();
        let process = process.unwrap_or_else(|error| {
            panic!("redis-server: {error}; install it with: apt-get install redis-server")
        });
        let server = Self { address, process, _folder: folder };
        let own = format!("process_id:{}\r\n", server.process.id());
        let started = Instant::now();
        while !server.ask("INFO server").is_some_and(|info| info.contains(&own)) {
            assert!(started.elapsed() < TIMEOUT, "redis-server did not start at {address}");
            sleep(Duration::from_millis(5));
        }
        server
    }

    /// Returns the URL of the server.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address)
    }

    /// Returns the number of keys.
    ///
    /// # Panics
    /// If the server does not reply.
    pub fn keys(&self) -> usize {
        let reply = self.ask("DBSIZE").unwrap_or_default();
        let number = reply.strip_prefix(':').and_then(|rest| rest.lines().next()?.parse().ok());
        number.unwrap_or_else(|| panic!("DBSIZE returned {reply:?}"))
    }

    fn ask(&self, command: &str) -> Option<String> {
        let mut stream = TcpStream::connect(self.address).ok()?;
        write!(stream, "{command}\r\nQUIT\r\n").ok()?;
        let mut reply = String::new();
        stream.read_to_string(&mut reply).ok()?;
        Some(reply)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
