//! A cookie without `Secure` that leaves its machine: said once, by a process as an operator runs it.

use std::{fs::File, process::Command};

use cloakroom::AppKeys;
use cloakroom_tests::{
    browser::{Browser, Sent},
    databases::{MariaDbServer, PostgresServer},
    redis::RedisServer,
    running::Running,
    server::DriverUnderTest,
    step::{get, put},
};
use tempfile::TempDir;

const PROBES: [&str; 2] = [env!("CARGO_BIN_EXE_probe-axum"), env!("CARGO_BIN_EXE_probe-actix")];

/// A probe on a driver, and what it says on standard error.
struct Probe {
    _running: Running,
    client: Browser,
    folder: TempDir,
}

impl Probe {
    fn start(program: &str, driver: DriverUnderTest, redis: &str, secure: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(program);
        command.env_clear().args(["--listen", "127.0.0.1:0"]).env("RUST_LOG", "warn");
        command.env("APP_KEY", AppKeys::generate()).env("SESSION_REDIS_URL", redis);
        command.env("SESSION_DRIVER", format!("{driver:?}").to_lowercase());
        command.env("SESSION_FILE_LOCATION", folder.path().join("sessions"));
        command.env("SESSION_COOKIE_SECURE", secure.to_string());
        match driver {
            DriverUnderTest::Postgres => {
                command.env("DATABASE_URL", PostgresServer::shared().database());
            }
            DriverUnderTest::MySql => {
                command.env("DATABASE_URL", MariaDbServer::shared().database());
            }
            DriverUnderTest::Sqlite => {
                let file = folder.path().join("app.db");
                command.env("DATABASE_URL", format!("sqlite:{}", file.display()));
            }
            _ => {}
        }
        command.stderr(File::create(folder.path().join("log")).unwrap());
        let (running, address) = Running::start(command);
        Self { _running: running, client: Browser::new(address), folder }
    }

    /// A request of a new visitor who gets a cookie; how often the process has warned since it began.
    async fn warnings_after(&mut self, header: &'static str, value: &str) -> usize {
        let put = [put("k", 1)];
        let mut visitor = self.client.clone();
        let reply = visitor.run_with(&put, Sent::with(header, value)).await;
        assert_eq!(reply.set_cookies().len(), 1, "{header}: {value}");
        self.warnings()
    }

    fn warnings(&self) -> usize {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
        log.matches("a session cookie without `Secure` was issued").count()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insecure_cookie_that_leaves_its_machine_is_warned_of_once() {
    let redis = RedisServer::start();
    for program in PROBES {
        for driver in DriverUnderTest::ALL {
            let mut probe = Probe::start(program, driver, &redis.url(), false);
            assert_eq!(probe.warnings_after("host", "localhost:3000").await, 0);
            let read = [get("k")];
            probe.client.run_with(&read, Sent::with("host", "example.org")).await;
            assert_eq!(probe.warnings(), 0, "no cookie was issued");
            assert_eq!(
                probe.warnings_after("host", "example.org").await,
                1,
                "{program} {driver:?}"
            );
            assert_eq!(probe.warnings_after("host", "example.org").await, 1, "once a process");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_insecure_cookie_behind_a_proxy_for_https_is_warned_of() {
    for program in PROBES {
        let mut probe = Probe::start(program, DriverUnderTest::Memory, "", false);
        assert_eq!(probe.warnings_after("x-forwarded-proto", "http").await, 0);
        assert_eq!(probe.warnings_after("x-forwarded-proto", "https").await, 1, "{program}");
        let mut secure = Probe::start(program, DriverUnderTest::Memory, "", true);
        assert_eq!(secure.warnings_after("host", "example.org").await, 0);
    }
}
