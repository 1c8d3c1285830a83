//! PgBouncer.

use cloakroom_tests::databases::{PgBouncer, PostgresServer, is_running, psql};

#[test]
fn it_passes_on_to_each_database_of_the_server() {
    let server = PostgresServer::shared();
    let bouncer = PgBouncer::start(server);
    assert_eq!(psql(&bouncer.url(), "select current_database()"), "cloakroom");
    let own = server.database();
    psql(&own, "create table own (number integer)");
    assert_eq!(psql(&bouncer.url_of(&own), "select count(*) from own"), "0");
}

#[test]
fn it_starts_again_after_a_crash_and_leaves_nothing() {
    let mut bouncer = PgBouncer::start(PostgresServer::shared());
    bouncer.kill();
    assert!(bouncer.processes().is_empty());
    bouncer.restart();
    assert_eq!(psql(&bouncer.url(), "select 1"), "1");
    let processes = bouncer.processes();
    drop(bouncer);
    assert!(processes.len() > 2 && !processes.into_iter().any(is_running));
}
