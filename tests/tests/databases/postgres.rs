//! PostgreSQL.

use std::{
    net::TcpListener,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::Duration,
};

use cloakroom_tests::databases::{PostgresServer, is_running, psql};

#[test]
fn data_outlives_a_stop_and_a_crash() {
    let mut server = PostgresServer::start();
    assert_eq!(server.sql("select 1"), "1");
    server.sql("create table kept (number integer); insert into kept values (7)");
    server.stop();
    assert!(server.processes().is_empty());
    server.restart();
    assert!(!server.log().contains("not properly shut down"), "{}", server.log());
    server.sql("insert into kept values (8)");
    server.kill();
    server.restart();
    assert!(server.log().contains("not properly shut down"), "{}", server.log());
    assert_eq!(server.sql("select number from kept order by number"), "7\n8");
}

#[test]
fn nothing_is_left_of_a_test_that_panics() {
    let (mut folder, mut processes) = (None, Vec::new());
    let panics = || {
        let server = PostgresServer::start();
        folder = Some(server.folder().to_owned());
        processes = server.processes();
        panic!("a test that fails");
    };
    catch_unwind(AssertUnwindSafe(panics)).unwrap_err();
    assert!(!folder.unwrap().exists());
    // The guard, the server, the guard's watcher, and the server's children.
    assert!(processes.len() > 4, "{processes:?}");
    assert!(!processes.into_iter().any(is_running));
}

#[test]
fn a_server_has_settings() {
    let server = PostgresServer::start_with(&["max_connections=17", "fsync=on"]);
    assert_eq!(server.sql("show max_connections; show fsync"), "17\non");
}

#[test]
fn a_server_starts_again_once_another_program_gives_up_its_port() {
    let mut server = PostgresServer::start();
    server.stop();
    let other = TcpListener::bind(server.address()).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| server.restart());
        thread::sleep(Duration::from_millis(300));
        drop(other);
    });
    assert_eq!(server.sql("select 1"), "1");
}

#[test]
fn the_shared_server_has_a_database_for_each_test() {
    let [first, second] = [(); 2].map(|()| PostgresServer::shared().database());
    psql(&first, "create table own (number integer)");
    psql(&second, "create table own (number integer)");
    assert_ne!(first, second);
}
