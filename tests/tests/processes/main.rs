//! Several processes on one store, and a store that goes away: the probe as an operator would run it.

mod exposure;

use std::{
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use cloakroom::AppKeys;
use cloakroom_tests::{
    browser::Browser,
    databases::{MariaDbServer, PostgresServer},
    redis::RedisServer,
    running::Running,
    step::{Step, get, increment, put, sleep},
};
use serde_json::Value;
use tempfile::TempDir;

/// A store that processes can share.
enum Shared {
    File(TempDir),
    Redis(RedisServer),
    Postgres(PostgresServer),
    MariaDb(MariaDbServer),
    Sqlite(TempDir),
}

impl Shared {
    fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    fn redis() -> Self {
        Self::Redis(RedisServer::start_durable())
    }

    fn postgres() -> Self {
        Self::Postgres(PostgresServer::start_durable())
    }

    fn mariadb() -> Self {
        Self::MariaDb(MariaDbServer::start_durable())
    }

    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    /// Starts a probe on this store, with this key.
    fn probe(&self, app_key: &str) -> (Running, SocketAddr) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_probe-axum"));
        command.env_clear().args(["--listen", "127.0.0.1:0"]).env("APP_KEY", app_key);
        command.env("SESSION_SHOW_ERRORS", "false");
        match self {
            Self::File(folder) => {
                command.env("SESSION_DRIVER", "file");
                command.env("SESSION_FILE_LOCATION", folder.path().join("sessions"));
            }
            Self::Redis(server) => {
                command.env("SESSION_DRIVER", "redis").env("SESSION_REDIS_URL", server.url());
            }
            Self::Postgres(server) => {
                command.env("SESSION_DRIVER", "postgres").env("DATABASE_URL", server.url());
            }
            Self::MariaDb(server) => {
                command.env("SESSION_DRIVER", "mysql").env("DATABASE_URL", server.url());
            }
            Self::Sqlite(folder) => {
                let url = format!("sqlite:{}", folder.path().join("app.db").display());
                command.env("SESSION_DRIVER", "sqlite").env("DATABASE_URL", url);
            }
        }
        Running::start(command)
    }

    fn stop(&mut self) {
        match self {
            Self::File(folder) => {
                let (sessions, aside) = places(folder.path());
                std::fs::rename(&sessions, aside).unwrap();
                std::fs::write(sessions, "no folder").unwrap();
            }
            Self::Redis(server) => server.kill(),
            Self::Postgres(server) => server.kill(),
            Self::MariaDb(server) => server.kill(),
            Self::Sqlite(_) => panic!("an open file does not go away"),
        }
    }

    fn go_on(&mut self) {
        match self {
            Self::File(folder) => {
                let (sessions, aside) = places(folder.path());
                std::fs::remove_file(&sessions).unwrap();
                std::fs::rename(aside, sessions).unwrap();
            }
            Self::Redis(server) => server.restart(),
            Self::Postgres(server) => server.restart(),
            Self::MariaDb(server) => server.restart(),
            Self::Sqlite(_) => panic!("an open file does not go away"),
        }
    }
}

fn places(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    (folder.join("sessions"), folder.join("aside"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_count_to_fifty_on_files() {
    two_processes_count_to_fifty(Shared::file()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_count_to_fifty_on_redis() {
    two_processes_count_to_fifty(Shared::redis()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_count_to_fifty_on_databases() {
    for store in [Shared::postgres(), Shared::mariadb(), Shared::sqlite()] {
        two_processes_count_to_fifty(store).await;
    }
}

async fn two_processes_count_to_fifty(store: Shared) {
    let key = AppKeys::generate();
    let probes = [store.probe(&key), store.probe(&key)];
    let mut visitor = Browser::new(probes[0].1);
    visitor.step(put("user", "virk")).await;
    let requests: Vec<_> = (0..50)
        .map(|n| {
            let mut client = Browser::new(probes[n % 2].1);
            client.jar = visitor.jar.clone();
            let steps = [get("n"), sleep(20), increment("n")];
            tokio::spawn(async move { client.run(&steps).await.status })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), 200);
    }
    assert_eq!(visitor.step(get("n")).await, 50);
}

// Across processes and drivers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_in_one_process_is_final_for_the_other_on_files() {
    logouts_across_processes(Shared::file(), 150).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_in_one_process_is_final_for_the_other_on_redis() {
    logouts_across_processes(Shared::redis(), 150).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_logout_in_one_process_is_final_for_the_other_on_databases() {
    for store in [Shared::postgres(), Shared::mariadb(), Shared::sqlite()] {
        logouts_across_processes(store, 50).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn ten_thousand_logouts_across_processes_are_final_on_databases() {
    for store in [Shared::postgres(), Shared::mariadb(), Shared::sqlite()] {
        logouts_across_processes(store, 10_000).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn ten_thousand_logouts_across_processes_are_final_on_files() {
    logouts_across_processes(Shared::file(), 10_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: cargo xtask soak"]
async fn ten_thousand_logouts_across_processes_are_final_on_redis() {
    logouts_across_processes(Shared::redis(), 10_000).await;
}

async fn logouts_across_processes(store: Shared, rounds: u64) {
    let key = AppKeys::generate();
    let probes = [store.probe(&key), store.probe(&key)];
    let mut resurrected = 0;
    for round in 0..rounds {
        let mut visitor = Browser::new(probes[0].1);
        visitor.step(put("user", "virk")).await;
        let writers: Vec<_> = (0..2_u64)
            .map(|writer| {
                let mut client = Browser::new(probes[1].1);
                client.jar = visitor.jar.clone();
                let ending = [increment("n"), Step::Regenerate, Step::Commit];
                let pause = (round * 7 + writer * 3) % 5;
                let steps = [
                    get("user"),
                    sleep(pause),
                    put("late", 1),
                    ending[usize::try_from((round + writer) % 3).unwrap()].clone(),
                ];
                tokio::spawn(async move {
                    client.run(&steps).await;
                    client
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(round * 37 % 4_000)).await;
        let mut old = visitor.clone();
        visitor.step(Step::Destroy).await;
        for writer in writers {
            let mut late = writer.await.unwrap();
            resurrected += u64::from(is_signed_in(&mut late).await);
        }
        resurrected += u64::from(is_signed_in(&mut old).await);
    }
    assert_eq!(resurrected, 0);
}

async fn is_signed_in(visitor: &mut Browser) -> bool {
    visitor.step(get("user")).await == "virk"
}

#[tokio::test]
async fn after_an_outage_of_the_files_everyone_is_signed_in() {
    a_store_that_goes_away_loses_nobody(Shared::file()).await;
}

#[tokio::test]
async fn after_an_outage_of_redis_everyone_is_signed_in() {
    a_store_that_goes_away_loses_nobody(Shared::redis()).await;
}

#[tokio::test]
async fn after_an_outage_of_a_database_everyone_is_signed_in() {
    for store in [Shared::postgres(), Shared::mariadb()] {
        a_store_that_goes_away_loses_nobody(store).await;
    }
}

async fn a_store_that_goes_away_loses_nobody(mut store: Shared) {
    let (_probe, address) = store.probe(&AppKeys::generate());
    let mut visitors: Vec<_> = (0..10).map(|_| Browser::new(address)).collect();
    for visitor in &mut visitors {
        visitor.step(put("user", "virk")).await;
    }
    store.stop();
    for visitor in &mut visitors {
        for step in [get("user"), Step::Destroy] {
            let reply = visitor.run([step]).await;
            assert!((500..600).contains(&reply.status.as_u16()), "{}", reply.status);
            assert!(reply.set_cookies().is_empty());
            assert!(!reply.text().contains("sessions"), "no word of the store in the body");
        }
    }
    let stranger = Browser::new(address).run([put("k", 1)]).await;
    assert!(stranger.status.is_server_error() && stranger.set_cookies().is_empty());
    store.go_on();
    let mut back = Value::Null;
    for _ in 0..200 {
        let reply = visitors[0].run([get("user")]).await;
        if reply.status == 200 {
            back = reply.value(0);
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(back, "virk");
    for visitor in &mut visitors {
        assert!(is_signed_in(visitor).await);
    }
}

#[test]
fn what_keeps_a_driver_from_starting_is_one_line() {
    for (name, value, said) in [
        ("SESSION_REDIS_URL", "redis://:hunter2@h:port", "port"),
        ("SESSION_REDIS_MODE", "cluster", "redis.nodes"),
        ("SESSION_REDIS_NODES", "10.0.0.1:1", "standalone"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_probe-axum"))
            .env_clear()
            .envs([("SESSION_DRIVER", "redis"), ("APP_KEY", &AppKeys::generate()), (name, value)])
            .stdout(Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert_eq!(error.lines().count(), 1, "{error}");
        assert!(error.contains(said) && !error.contains("hunter2"), "{name}: {error}");
    }
}
