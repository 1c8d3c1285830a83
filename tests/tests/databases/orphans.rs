//! No server outlives the test process, whatever ends that.

use std::{
    env,
    path::Path,
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use cloakroom_tests::{
    databases::{MariaDbServer, PostgresServer, is_running},
    running::Running,
};

/// Tells a process of this test that it is the one which is killed.
const VICTIM: &str = "CLOAKROOM_TESTS_VICTIM";

#[test]
fn a_killed_test_leaves_no_server_and_no_data() {
    if env::var_os(VICTIM).is_some() {
        let server = PostgresServer::start();
        let shared = PostgresServer::shared();
        let other = MariaDbServer::shared();
        let processes = [server.processes(), shared.processes(), other.processes()].concat();
        println!("servers {} {processes:?}", server.folder().display());
        sleep(Duration::from_mins(10));
    }
    let mut command = Command::new(env::current_exe().unwrap());
    let name = "orphans::a_killed_test_leaves_no_server_and_no_data";
    command.args(["--exact", name, "--nocapture"]).env(VICTIM, "yes");
    let (victim, (folder, processes)) = Running::start_until(command, |line| {
        let (folder, processes) = line.split_once("servers ")?.1.split_once(" [")?;
        let ids = processes.trim_end_matches(']').split(", ").map(|id| id.parse().unwrap());
        Some((folder.to_owned(), ids.collect::<Vec<u32>>()))
    });
    // Some of the children end by themselves.
    assert!(processes.iter().filter(|id| is_running(**id)).count() > 8, "{processes:?}");
    drop(victim);
    let started = Instant::now();
    while processes.iter().any(|id| is_running(*id)) || Path::new(&folder).exists() {
        assert!(started.elapsed() < Duration::from_secs(20), "{folder} or {processes:?} stayed");
        sleep(Duration::from_millis(10));
    }
}
