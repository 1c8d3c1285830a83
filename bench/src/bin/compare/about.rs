//! The circumstances of a run: versions, date, machine and command.

use std::process::Command;

use cloakroom_bench::options::POOL;

use crate::{
    arguments::{Arguments, Task},
    pairs::CONNECTIONS,
    postgres,
    process::can_pin,
};

/// The versions that were compiled in.
const LOCK: &str = include_str!("../../../Cargo.lock");

const PACKAGES: [&str; 12] = [
    "cloakroom",
    "axum",
    "actix-web",
    "tower-sessions",
    "tower-sessions-redis-store",
    "tower-sessions-sqlx-store",
    "fred",
    "actix-session",
    "redis",
    "sqlx",
    "libsqlite3-sys",
    "tokio",
];

/// Returns the lines below the tables.
pub(crate) fn describe(arguments: &Arguments) -> String {
    let versions: Vec<_> =
        PACKAGES.iter().map(|name| format!("{name} {}", versions_of(name).join(" and "))).collect();
    let pinned = if can_pin() {
        "servers on core 0, load generator, Redis and PostgreSQL on core 1"
    } else {
        "no process pinned to a core"
    };
    format!(
        "- Versions: {}, {}, {}\n- Load: {}; {pinned}\n- SQL: {POOL} connections of each server, each \
         commit waits for the disk\n- Date: {}\n- Command: `{}`\n",
        versions.join(", "),
        redis_server(),
        postgres::version(),
        load(arguments),
        time::OffsetDateTime::now_utc().date(),
        command(),
    )
}

fn load(arguments: &Arguments) -> String {
    let Arguments { rounds, span, processes, connections, .. } = arguments;
    match arguments.task {
        Task::Peers => format!("{CONNECTIONS} connections, {rounds} pairs of slices of {span:?}"),
        Task::Instructions => "one connection, one session, one request after the other".to_owned(),
        Task::Crowd => format!("{processes} processes × {connections} connections, {span:?}"),
    }
}

/// Returns the versions of a package. Two servers may need different ones.
fn versions_of(name: &str) -> Vec<&'static str> {
    let line = format!("name = \"{name}\"");
    let version = |(line, next): (&str, &'static str)| {
        let value = next.strip_prefix("version = \"")?.strip_suffix('"')?;
        (!line.is_empty()).then_some(value)
    };
    let pairs = LOCK.lines().zip(LOCK.lines().skip(1));
    pairs.filter(|(this, _)| *this == line).filter_map(version).collect()
}

fn redis_server() -> String {
    let output = Command::new("redis-server").arg("--version").output();
    let output = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let version = output.as_deref().unwrap_or_default().split_once("v=");
    let version = version.and_then(|(_, rest)| rest.split(' ').next());
    format!("redis-server {}", version.unwrap_or("of unknown version"))
}

fn command() -> String {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    format!("cargo xtask bench {}", arguments.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_file_has_a_version_of_each_package() {
        for name in PACKAGES {
            assert!(!versions_of(name).is_empty(), "{name}");
        }
    }
}
