//! The servers that are compared.

use std::{net::SocketAddr, path::PathBuf};

use cloakroom_bench::Failure;
use tempfile::TempDir;

use crate::{
    postgres::Postgres,
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

const TOWER_REDIS: Server =
    server("tower-sessions, Redis", Framework::Axum, "tower-sessions-peer", "redis");
const TOWER_POSTGRES: Server =
    server("tower-sessions, PostgreSQL", Framework::Axum, "tower-sessions-peer", "postgres");
const TOWER_SQLITE: Server =
    server("tower-sessions, SQLite", Framework::Axum, "tower-sessions-peer", "sqlite");
const OWN_REDIS: Server =
    server("cloakroom axum, Redis", Framework::Axum, "cloakroom-on-axum", "redis");
const OWN_POSTGRES: Server =
    server("cloakroom axum, PostgreSQL", Framework::Axum, "cloakroom-on-axum", "postgres");
/// Cloakroom with the pool that bare sqlx and tower-sessions have.
const OWN_POSTGRES_POOL: Server = server(
    "cloakroom axum, PostgreSQL + shared pool",
    Framework::Axum,
    "cloakroom-on-axum",
    "postgres-pool",
);
const OWN_SQLITE: Server =
    server("cloakroom axum, SQLite", Framework::Axum, "cloakroom-on-axum", "sqlite");
const BARE_POSTGRES: Server =
    server("bare sqlx, PostgreSQL", Framework::Axum, "bare-sqlx", "postgres");
const BARE_SQLITE: Server = server("bare sqlx, SQLite", Framework::Axum, "bare-sqlx", "sqlite");

/// All servers that keep something for a visitor, in the order of the report.
pub(crate) const ALL: [Server; 23] = [
    server("tower-sessions, memory", Framework::Axum, "tower-sessions-peer", "memory"),
    TOWER_REDIS,
    TOWER_POSTGRES,
    TOWER_SQLITE,
    server("actix-session, cookie", Framework::Actix, "actix-session-peer", "cookie"),
    server("actix-session, Redis", Framework::Actix, "actix-session-peer", "redis"),
    BARE_POSTGRES,
    BARE_SQLITE,
    server("cloakroom axum, cookie", Framework::Axum, "cloakroom-on-axum", "cookie"),
    server("cloakroom axum, memory", Framework::Axum, "cloakroom-on-axum", "memory"),
    server("cloakroom axum, file", Framework::Axum, "cloakroom-on-axum", "file"),
    OWN_REDIS,
    server(
        "cloakroom axum, Redis + near cache",
        Framework::Axum,
        "cloakroom-on-axum",
        "redis-near-cache",
    ),
    OWN_POSTGRES,
    OWN_POSTGRES_POOL,
    OWN_SQLITE,
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
    server("cloakroom actix, PostgreSQL", Framework::Actix, "cloakroom-on-actix", "postgres"),
    server("cloakroom actix, SQLite", Framework::Actix, "cloakroom-on-actix", "sqlite"),
];

/// Two servers on the same database, the first of which is measured beside the second directly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) server: Server,
    pub(crate) base: Server,
    /// The least ratios of reads and of writes, if any are wanted.
    pub(crate) wanted: Option<(f64, f64)>,
}

/// All pairs, in the order of the report.
pub(crate) const PAIRS: [Pair; 6] = [
    Pair { server: OWN_REDIS, base: TOWER_REDIS, wanted: Some((1.0, 0.85)) },
    Pair { server: OWN_POSTGRES, base: BARE_POSTGRES, wanted: None },
    Pair { server: OWN_POSTGRES_POOL, base: BARE_POSTGRES, wanted: None },
    Pair { server: TOWER_POSTGRES, base: BARE_POSTGRES, wanted: None },
    Pair { server: OWN_SQLITE, base: BARE_SQLITE, wanted: None },
    Pair { server: TOWER_SQLITE, base: BARE_SQLITE, wanted: None },
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

    /// Returns whether a visitor signs in and has a cookie.
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
    postgres: Postgres,
    /// The folder of the file driver and of SQLite. It is, like that of PostgreSQL, on the disk of the build
    /// and not in `/tmp`, which may be memory and flush for nothing.
    folder: TempDir,
    programs: PathBuf,
    key: String,
}

impl Stores {
    /// Starts Redis and PostgreSQL, and makes the folder of the file driver and of SQLite.
    pub(crate) fn start() -> Result<Self, Failure> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let programs = this.parent().ok_or("this program is in no folder")?.to_owned();
        let folder = tempfile::tempdir_in(&programs).map_err(|error| error.to_string())?;
        let key = cloakroom::AppKeys::generate();
        let (redis, postgres) = (Redis::start()?, Postgres::start(&programs)?);
        Ok(Self { redis, postgres, folder, programs, key })
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
        command.args(["--postgres", &self.postgres.port.to_string()]);
        command.arg("--folder").arg(self.folder.path());
        Process::start_server(command)
    }
}
