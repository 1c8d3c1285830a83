//! MariaDB.

use cloakroom_tests::databases::{MariaDbServer, is_running, mariadb};

#[test]
fn data_outlives_a_stop_and_a_crash() {
    let mut server = MariaDbServer::start();
    assert_eq!(server.sql("select 1"), "1");
    server.sql("create table kept (number integer); insert into kept values (7)");
    server.stop();
    assert!(server.processes().is_empty());
    server.restart();
    assert!(!server.log().contains("crash recovery"), "{}", server.log());
    server.sql("insert into kept values (8)");
    server.kill();
    server.restart();
    assert!(server.log().contains("crash recovery"), "{}", server.log());
    assert_eq!(server.sql("select number from kept order by number"), "7\n8");
}

#[test]
fn nothing_is_left_of_a_server_that_is_dropped() {
    let server = MariaDbServer::start_durable();
    let (folder, processes) = (server.folder().to_owned(), server.processes());
    drop(server);
    assert!(!folder.exists());
    assert!(processes.len() > 2 && !processes.into_iter().any(is_running));
}

#[test]
fn a_server_has_settings() {
    let server = MariaDbServer::start_with(&["max-connections=17"]);
    let statements = "select @@max_connections, @@innodb_flush_log_at_trx_commit";
    assert_eq!(server.sql(statements), "17\t2");
    let server = MariaDbServer::start_durable();
    assert_eq!(server.sql(statements), "200\t1");
}

#[test]
fn the_shared_server_has_a_database_for_each_test() {
    let [first, second] = [(); 2].map(|()| MariaDbServer::shared().database());
    mariadb(&first, "create table own (number integer)");
    mariadb(&second, "create table own (number integer)");
    assert_ne!(first, second);
}
