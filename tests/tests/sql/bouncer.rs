//! Statements with their values in them, and PgBouncer, which gives a client another connection of the
//! server for each transaction.

use std::sync::Arc;

use cloakroom::{
    clock::FakeClock,
    conformance,
    sql::{PgStatements, PostgresStore},
    store::Store,
};
use cloakroom_tests::databases::{PgBouncer, PostgresServer};

use super::{Database, Place, Settings, create, hot, key, live, shown};

const SIMPLE: Database = Database::Postgres(PgStatements::Simple);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn simple_statements_pass_a_pooler_of_transactions() {
    let server = PostgresServer::shared();
    let bouncer = PgBouncer::start(server);
    let url = bouncer.url_of(&server.database());
    let clock = Arc::new(FakeClock::default());
    let settings = Settings { clock: clock.clone(), ..Settings::default() };
    conformance::check(SIMPLE.open(&url, &settings), &*clock).await;
    let open = |_| SIMPLE.open(&url, &Settings::default()) as Arc<dyn Store>;
    hot::count(&[0, 1, 2].map(open), 10).await;
}

/// Without the setting the error names it, whichever way the pooler fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_statements_behind_a_pooler_are_an_error_that_names_the_setting() {
    let server = PostgresServer::shared();
    for settings in [&[][..], &["ignore_startup_parameters = extra_float_digits"]] {
        let bouncer = PgBouncer::start_with(server, settings);
        let url = bouncer.url_of(&server.database());
        let open = || PostgresStore::at(&url).unwrap().sweep_budget(None);
        let simple = open().statements(PgStatements::Simple).migrate(true).build().unwrap();
        create(&simple, 1, "values").await;
        // Both get the one connection to the server, and prepare their statements under one name.
        let (one, two) = (open().build().unwrap(), open().build().unwrap());
        let loads = [one.load(&key(1)).await, two.load(&key(1)).await];
        let errors: Vec<_> = loads.into_iter().filter_map(Result::err).collect();
        let error = shown(errors.first().unwrap());
        assert!(error.contains("PgStatements::Simple"), "{error}");
        assert_eq!(live(&simple, key(1)).await.0, "values");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_starts_again_is_used_again() {
    let server = PostgresServer::shared();
    let mut bouncer = PgBouncer::start(server);
    let store = SIMPLE.open(&bouncer.url_of(&server.database()), &Settings::default());
    create(&*store, 1, "values").await;
    bouncer.kill();
    assert!(store.load(&key(1)).await.unwrap_err().is_unavailable());
    bouncer.restart();
    assert_eq!(live(&*store, key(1)).await.0, "values");
}

/// Literals of a server that reads backslashes in them, as servers did before 9.1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_with_values_in_them_do_not_depend_on_the_servers_literals() {
    let place = Place::new(Database::Postgres(PgStatements::Simple));
    let name = place.url.rsplit('/').next().unwrap();
    for setting in ["standard_conforming_strings = off", "escape_string_warning = off"] {
        place.sql(&format!("ALTER DATABASE {name} SET {setting}"));
    }
    let store = place.store();
    create(&*store, 1, "values").await;
    assert_eq!(live(&*store, key(1)).await.0, "values");
    let lengths = "SELECT length(id), convert_from(record, 'UTF8') FROM cloakroom_sessions";
    assert_eq!(place.sql(lengths), "32|values");
}
