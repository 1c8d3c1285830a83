//! The servers that are compared.

use std::{net::SocketAddr, path::PathBuf};

use cloakroom_bench::Failure;
use tempfile::TempDir;

use crate::{
    process::{Process, SERVERS, pinned},
    redis::Redis,
};

/// A framework, and its server without sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framework {
    Axum,
    Actix,
}

/// A server program with its session driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// The name in the report.
    pub(crate) name: &'static str,
    /// The framework, whose bare server this one is compared with.
    pub(crate) framework: Framework,
    program: &'static str,
    /// The session driver.
    pub(crate) driver: &'static str,
}

const fn server(
    name: &'static str,
    framework: Framework,
    program: &'static str,
    driver: &'static str,
) -> Server {
    Server { name, framework, program, driver }
}

/// The peer with which cloakroom on Redis is compared directly.
pub(crate) const REDIS_PEER: Server =
    server("tower-sessions, Redis", Framework::Axum, "tower-sessions-peer", "redis");
/// Cloakroom on axum and Redis, whose peer is [`REDIS_PEER`].
pub(crate) const REDIS_OWN: Server =
    server("cloakroom axum, Redis", Framework::Axum, "cloakroom-on-axum", "redis");

/// All servers with sessions, in the order of the report.
pub(crate) const ALL: [Server; 14] = [
    server("tower-sessions, memory", Framework::Axum, "tower-sessions-peer", "memory"),
    REDIS_PEER,
    server("actix-session, cookie", Framework::Actix, "actix-session-peer", "cookie"),
    server("actix-session, Redis", Framework::Actix, "actix-session-peer", "redis"),
    server("cloakroom axum, cookie", Framework::Axum, "cloakroom-on-axum", "cookie"),
    server("cloakroom axum, memory", Framework::Axum, "cloakroom-on-axum", "memory"),
    server("cloakroom axum, file", Framework::Axum, "cloakroom-on-axum", "file"),
    REDIS_OWN,
    server(
        "cloakroom axum, Redis + near cache",
        Framework::Axum,
        "cloakroom-on-axum",
        "redis-near-cache",
    ),
    server("cloakroom actix, cookie", Framework::Actix, "cloakroom-on-actix", "cookie"),
    server("cloakroom actix, memory", Framework::Actix, "cloakroom-on-actix", "memory"),
    server("cloakroom actix, file", Framework::Actix, "cloakroom-on-actix", "file"),
    server("cloakroom actix, Redis", Framework::Actix, "cloakroom-on-actix", "redis"),
    server(
        "cloakroom actix, Redis + near cache",
        Framework::Actix,
        "cloakroom-on-actix",
        "redis-near-cache",
    ),
];

impl Server {
    /// Returns the server without sessions on a framework.
    pub(crate) fn bare(framework: Framework) -> Self {
        match framework {
            Framework::Axum => server("bare axum", framework, "bare-axum", ""),
            Framework::Actix => server("bare actix-web", framework, "bare-actix", ""),
        }
    }

    /// Returns cloakroom on axum with a driver, one process of a crowd.
    pub(crate) fn of_crowd(driver: &'static str) -> Self {
        server("cloakroom axum", Framework::Axum, "cloakroom-on-axum", driver)
    }

    /// Returns whether this is cloakroom and not a peer.
    pub(crate) fn is_own(self) -> bool {
        self.name.starts_with("cloakroom")
    }

    /// Returns whether this is not a bare server.
    pub(crate) fn has_sessions(self) -> bool {
        !self.driver.is_empty()
    }

    /// Returns whether sessions are kept by the server. A session that is in its cookie is another
    /// one for each request, so there is nothing that requests could contend for.
    pub(crate) fn keeps_sessions(self) -> bool {
        self.driver != "cookie"
    }
}

/// The stores of the servers, and the key that they share.
#[derive(Debug)]
pub(crate) struct Stores {
    redis: Redis,
    /// On the disk of the build and not in `/tmp`, which may be memory and flush for nothing.
    folder: TempDir,
    programs: PathBuf,
    key: String,
}

impl Stores {
    /// Starts Redis and makes the folder of the file driver.
    pub(crate) fn start() -> Result<Self, Failure> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let programs = this.parent().ok_or("this program is in no folder")?.to_owned();
        let folder = tempfile::tempdir_in(&programs).map_err(|error| error.to_string())?;
        let key = cloakroom::AppKeys::generate();
        Ok(Self { redis: Redis::start()?, folder, programs, key })
    }

    /// Starts a server on its core. Servers with the same driver share their store.
    pub(crate) fn open(&self, server: Server) -> Result<(Process, SocketAddr), Failure> {
        self.open_under(&[], server)
    }

    /// Starts a server under another program, whose command line is `tool`.
    pub(crate) fn open_under(
        &self,
        tool: &[&str],
        server: Server,
    ) -> Result<(Process, SocketAddr), Failure> {
        let program = self.programs.join(server.program);
        let program = program.to_string_lossy();
        let mut words = tool.iter().copied().chain([&*program]);
        let mut command = pinned(SERVERS, words.next().unwrap_or_default());
        command.args(words).env("APP_KEY", &self.key);
        if server.has_sessions() {
            command.arg(server.driver);
        }
        command.args(["--redis", &self.redis.port.to_string()]);
        command.arg("--folder").arg(self.folder.path().join("sessions"));
        Process::start_server(command)
    }
}
