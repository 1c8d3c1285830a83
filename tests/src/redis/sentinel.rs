//! A master with two replicas, watched by three Sentinels.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{RedisServer, ask, free_port};

const TIMEOUT: Duration = Duration::from_mins(1);
/// The name that the Sentinels have for the servers.
pub const MASTER: &str = "mymaster";

/// Servers and Sentinels, ended when dropped.
#[derive(Debug)]
pub struct RedisSentinels {
    servers: Vec<RedisServer>,
    sentinels: Vec<(u16, Child)>,
    _folder: TempDir,
}

impl RedisSentinels {
    /// Starts all and waits until the Sentinels know each other and the replicas.
    ///
    /// # Panics
    /// When they do not come up.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("no folder: {error}"));
        let master = RedisServer::start();
        let port = master.address().port();
        let follow =
            ["--replicaof", &format!("127.0.0.1 {port}"), "--repl-diskless-sync-delay", "0"];
        let replicas = [RedisServer::start_with(&follow), RedisServer::start_with(&follow)];
        let servers = [master].into_iter().chain(replicas).collect();
        let sentinels = (0..3).map(|number| sentinel(&folder, number, port)).collect();
        let all = Self { servers, sentinels, _folder: folder };
        let started = Instant::now();
        while !all.know_each_other() {
            assert!(started.elapsed() < TIMEOUT, "the Sentinels do not come up");
            sleep(Duration::from_millis(100));
        }
        all
    }

    fn know_each_other(&self) -> bool {
        self.sentinels.iter().all(|(port, _)| {
            let info = ask(SocketAddr::from(([127, 0, 0, 1], *port)), "INFO sentinel");
            info.is_some_and(|info| info.contains("slaves=2,sentinels=3"))
        })
    }

    /// `host:port` of every Sentinel.
    pub fn addresses(&self) -> Vec<String> {
        self.sentinels.iter().map(|(port, _)| format!("127.0.0.1:{port}")).collect()
    }

    /// The number of the server that is the master now, as the first Sentinel says.
    pub fn master(&self) -> Option<usize> {
        let first = SocketAddr::from(([127, 0, 0, 1], self.sentinels.first()?.0));
        let answer = ask(first, &format!("SENTINEL get-master-addr-by-name {MASTER}"))?;
        let port: u16 = answer.lines().nth(4)?.trim().parse().ok()?;
        self.servers.iter().position(|server| server.address().port() == port)
    }

    /// The servers.
    pub fn servers(&mut self) -> &mut [RedisServer] {
        &mut self.servers
    }
}

fn sentinel(folder: &TempDir, number: usize, master: u16) -> (u16, Child) {
    let port = free_port();
    let settings = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\nsentinel monitor {MASTER} 127.0.0.1 {master} 2\n\
         sentinel down-after-milliseconds {MASTER} 800\nsentinel failover-timeout {MASTER} 3000\n",
        folder.path().display()
    );
    let file = folder.path().join(format!("sentinel-{number}.conf"));
    std::fs::write(&file, settings).unwrap_or_else(|error| panic!("{error}"));
    let mut command = Command::new("redis-server");
    command.arg(file).arg("--sentinel").stdout(Stdio::null()).stderr(Stdio::null());
    (port, command.spawn().unwrap_or_else(|error| panic!("redis-server --sentinel: {error}")))
}

impl Drop for RedisSentinels {
    fn drop(&mut self) {
        for (_, process) in &mut self.sentinels {
            drop(process.kill());
            drop(process.wait());
        }
    }
}
