//! Redis servers of the tests' own: on free ports of loopback, with data in a temporary folder, ended
//! with the test.

mod cluster;
mod sentinel;
mod tls;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

pub use cluster::RedisCluster;
pub use sentinel::{MASTER, RedisSentinels};
use tempfile::TempDir;
pub use tls::Certificate;

const TIMEOUT: Duration = Duration::from_secs(20);
const ATTEMPTS: usize = 10;

/// A running `redis-server`. Dropping it ends it and removes its data.
#[derive(Debug)]
pub struct RedisServer {
    port: u16,
    /// The other port of a server that speaks TLS, or has a bus to its cluster.
    second_port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server that has on disk whatever it acknowledged, so that a restart loses nothing.
    pub fn start_durable() -> Self {
        Self::start_with(&["--appendonly", "yes", "--appendfsync", "always"])
    }

    /// Starts a server with these arguments, in which `{tls}` and `{bus}` stand for a second
    /// free port.
    ///
    /// # Panics
    /// When it does not come up; where the program is missing, saying what to install.
    pub fn start_with(arguments: &[&str]) -> Self {
        for _ in 0..ATTEMPTS {
            let mut server = Self {
                port: free_port(),
                second_port: free_port(),
                arguments: arguments.iter().copied().map(ToOwned::to_owned).collect(),
                folder: tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}")),
                process: None,
            };
            if server.spawn() {
                return server;
            }
        }
        panic!("redis-server did not start in {ATTEMPTS} attempts");
    }

    /// Runs the program. Returns whether it listens; not if another program took the port first.
    fn spawn(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command.current_dir(self.folder.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["--bind", "127.0.0.1", "--port", &self.port.to_string(), "--save", ""]);
        let second_port = self.second_port.to_string();
        let filled = |it: &String| it.replace("{tls}", &second_port).replace("{bus}", &second_port);
        let child =
            command.args(self.arguments.iter().map(filled)).spawn().unwrap_or_else(|error| {
                panic!("redis-server: {error}; install it with: apt-get install redis-server")
            });
        let own = format!("process_id:{}\r\n", child.id());
        self.process = Some(child);
        let started = Instant::now();
        while started.elapsed() < TIMEOUT {
            if ask(self.address(), "INFO server").is_some_and(|info| info.contains(&own)) {
                return true;
            }
            let ended = self
                .process
                .as_mut()
                .is_some_and(|process| !matches!(process.try_wait(), Ok(None)));
            if ended {
                return false;
            }
            sleep(Duration::from_millis(5));
        }
        false
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The URL of its first database.
    pub fn url(&self) -> String {
        format!("redis://{}/0", self.address())
    }

    /// The URL for TLS.
    pub fn tls_url(&self) -> String {
        format!("rediss://127.0.0.1:{}/0", self.second_port)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the reply to a command, as `redis-cli` prints it.
    ///
    /// # Panics
    /// When it cannot be run.
    pub fn cli(&self, command: &[&str]) -> String {
        let mut cli = Command::new("redis-cli");
        let output = cli.args(["-p", &self.port.to_string()]).args(command).output();
        let output = output.unwrap_or_else(|error| panic!("redis-cli: {error}"));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// How often each command was called since [`reset_stats`](Self::reset_stats), those within
    /// scripts included.
    pub fn calls(&self) -> BTreeMap<String, u64> {
        let count = |line: &str| {
            let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
        };
        self.cli(&["INFO", "commandstats"]).lines().filter_map(count).collect()
    }

    /// Forgets what was counted.
    pub fn reset_stats(&self) {
        self.cli(&["CONFIG", "RESETSTAT"]);
    }

    /// Ends the process at once, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            drop(process.kill());
            drop(process.wait());
        }
    }

    /// Starts it again on the same port, with the same data.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.kill();
        assert!(self.spawn(), "redis-server did not come up again");
    }

    /// Stops the process: it accepts connections and never replies.
    pub fn pause(&self) {
        self.signal("-STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let Some(process) = &self.process else { return };
        let sent = Command::new("kill").args([signal, &process.id().to_string()]).status();
        assert!(sent.is_ok_and(|status| status.success()), "kill {signal} failed");
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Returns a port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|error| panic!("{error}"));
    listener.local_addr().unwrap_or_else(|error| panic!("{error}")).port()
}

/// Returns the reply of a server to an inline command.
pub fn ask(address: SocketAddr, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok()?;
    stream.set_read_timeout(Some(Duration::from_millis(500))).ok()?;
    write!(stream, "{command}\r\nQUIT\r\n").ok()?;
    let mut answer = Vec::new();
    // What came before the connection was cut is an answer as well.
    let _ = stream.read_to_end(&mut answer);
    Some(String::from_utf8_lossy(&answer).into_owned())
}
