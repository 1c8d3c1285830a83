//! Making the tables, and who may do what.

use cloakroom::{
    clock::{Clock, SystemClock},
    sql::{MySqlStore, PgStatements, PostgresStore, SqliteStore},
    store::{Commit, Cursor, Draft, OwnerIndex, OwnerKey, Scan, Store},
};
use cloakroom_tests::databases::{MariaDbServer, PostgresServer, mariadb, psql};

use super::{Database, HOUR, Place, Settings, create, done, key, live, process, shown, task};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_make_the_tables_at_once_and_again() {
    for database in Database::ALL {
        let place = Place::new(database);
        let makers: Vec<_> = (0..8)
            .map(|number| {
                let store = place.store();
                tokio::spawn(async move {
                    // Some by hand, and some at their first use.
                    if number % 2 == 0 {
                        store.migrate().await.unwrap();
                    }
                    create(&*store, number, "values").await;
                })
            })
            .collect();
        for maker in makers {
            maker.await.unwrap();
        }
        place.store().migrate().await.unwrap();
        assert_eq!(place.records(), 8, "{database:?}");
        let versions = "SELECT count(*) FROM cloakroom_sessions_state";
        assert_eq!(place.sql(versions), "1", "{database:?}");
    }
}

/// In a transaction that reads as of its beginning, the row of another process is not seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_make_the_tables_at_every_isolation_level() {
    for isolation in ["repeatable read", "serializable"] {
        for _ in 0..3 {
            let place = Place::new(Database::Postgres(PgStatements::Prepared));
            let name = place.url.rsplit('/').next().unwrap();
            place.sql(&format!(
                "ALTER DATABASE {name} SET default_transaction_isolation = '{isolation}'"
            ));
            let makers: Vec<_> = (0..8)
                .map(|_| {
                    let store = place.store();
                    tokio::spawn(async move { store.migrate().await })
                })
                .collect();
            for maker in makers {
                maker
                    .await
                    .unwrap()
                    .unwrap_or_else(|error| panic!("{isolation}: {}", shown(&error)));
            }
        }
    }
}

#[test]
fn eight_processes_make_the_tables_at_once() {
    if let Some(url) = task() {
        let database = Database::KINDS
            .into_iter()
            .find(|database| match database {
                Database::Postgres(_) => url.starts_with("postgres"),
                Database::MariaDb => url.starts_with("mysql"),
                Database::Sqlite => url.starts_with("sqlite"),
            })
            .unwrap();
        let store = database.open(&url, &Settings::default());
        return super::place::in_thread(async { store.migrate().await.unwrap() });
    }
    for database in Database::KINDS {
        let place = Place::new(database);
        let name = "schema::eight_processes_make_the_tables_at_once";
        let running: Vec<_> = (0..8).map(|_| process(name, &place.url).spawn().unwrap()).collect();
        for mut process in running {
            assert!(process.wait().unwrap().success(), "{database:?}");
        }
        assert_eq!(place.rows(), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_a_later_version_are_refused_and_left_alone() {
    for database in Database::KINDS {
        let place = Place::new(database);
        place.store().migrate().await.unwrap();
        place.sql("UPDATE cloakroom_sessions_state SET version = 2");
        for error in [
            place.store().migrate().await.unwrap_err(),
            place.store().load(&key(1)).await.unwrap_err(),
        ] {
            let shown = shown(&error);
            assert!(shown.contains("version is 2") && !error.is_unavailable(), "{shown}");
        }
        assert_eq!(place.sql("SELECT version FROM cloakroom_sessions_state"), "2");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_tables_are_an_error_that_says_what_to_do_and_are_made_again() {
    for database in Database::ALL {
        let place = Place::new(database);
        if database == Database::Sqlite {
            // The file is there, with other tables.
            place.store().migrate().await.unwrap();
            place.sql("DROP TABLE cloakroom_sessions");
        }
        let store = place.store_with(&Settings { migrates: false, ..Settings::default() });
        let error = shown(&store.load(&key(1)).await.unwrap_err());
        for says in ["cloakroom_sessions", "does not exist", "`migrate`", "`cloakroom schema`"] {
            assert!(error.contains(says), "{error}");
        }
        store.migrate().await.unwrap();
        create(&*store, 1, "values").await;
        // Somebody signs everybody out in the hard way.
        for table in ["cloakroom_sessions", "cloakroom_sessions_state", "cloakroom_sessions_log"] {
            place.sql(&format!("DROP TABLE {table}"));
            store.migrate().await.unwrap();
            store.health().await.unwrap();
            assert_eq!(place.rows(), 0, "{database:?}");
        }
        create(&*store, 2, "values").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_are_quoted() {
    for database in Database::ALL {
        let place = Place::new(database);
        for table in ["user", "Order", "SELECT", "sessions_2", "order"] {
            // Names of MariaDB's tables are those of files, and SQLite's are in either case.
            if table == "order" && database == Database::Sqlite {
                continue;
            }
            let store =
                place.store_with(&Settings { table: table.to_owned(), ..Settings::default() });
            create(&*store, 1, table).await;
            assert_eq!(live(&*store, key(1)).await.0, table, "{database:?}");
            store.as_sweep().unwrap().sweep(10).await.unwrap();
            assert!(!store.health().await.unwrap().version.is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schema_of_its_own_is_made_and_quoted() {
    for statements in [PgStatements::Prepared, PgStatements::Simple] {
        let url = PostgresServer::shared().database();
        let store = PostgresStore::at(&url).unwrap().statements(statements).schema("Order");
        let store = store.table("user").migrate(true).build().unwrap();
        create(&store, 1, "values").await;
        let rows = psql(&url, r#"SELECT count(*) FROM "Order"."user""#);
        assert_eq!(rows, "1");
        store.health().await.unwrap();
    }
    let name = "Order by";
    let url = MariaDbServer::shared().database();
    let store = MySqlStore::at(&url).unwrap().schema(name).build().unwrap_err().to_string();
    assert!(store.contains(name), "{store}");
    let store = MySqlStore::at(&url).unwrap().schema("Group").table("user").migrate(true);
    create(&store.build().unwrap(), 1, "values").await;
    assert_eq!(mariadb(&url, "SELECT count(*) FROM `Group`.`user`"), "1");
}

/// Does everything that the library does with a store.
async fn use_all(store: &(impl OwnerIndex + Scan)) {
    let (owner, until) = (OwnerKey::of("user-42"), SystemClock.now() + HOUR);
    let draft = Draft::new("values", SystemClock.now(), HOUR).with_owner(owner);
    let expected = done(store.commit(Commit::create(key(1), draft.clone())).await);
    let expected = done(store.commit(Commit::replace(key(1), expected, draft.clone())).await);
    done(store.commit(Commit::touch(key(1), expected, until + HOUR)).await);
    done(store.commit(Commit::rotate(key(1), Some(expected), key(2), draft, until)).await);
    let keys = store.keys_of(&owner, Cursor::default(), 10).await.unwrap().keys;
    assert_eq!(keys, [key(2)]);
    assert_eq!(store.keys_with_tag(&owner, key(2).tag()).await.unwrap(), [key(2)]);
    store.scan(Cursor::default()).await.unwrap();
    done(store.commit(Commit::destroy(key(2), until)).await);
    store.as_sweep().unwrap().sweep(100).await.unwrap();
}

const RIGHTS: &str = "SELECT, INSERT, UPDATE, DELETE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_reads_and_writes_is_enough_on_postgres() {
    for (role, migrates) in [("plain_a", false), ("plain_b", true)] {
        let url = PostgresServer::shared().database();
        let name = url.rsplit('/').next().unwrap();
        PostgresStore::at(&url).unwrap().build().unwrap().migrate().await.unwrap();
        psql(&url, &format!("CREATE ROLE {role} LOGIN"));
        psql(&url, &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"));
        psql(&url, &format!("GRANT CONNECT ON DATABASE {name} TO {role}"));
        psql(&url, &format!("GRANT {RIGHTS} ON ALL TABLES IN SCHEMA public TO {role}"));
        let limited = url.replace("cloakroom@", &format!("{role}@"));
        let store = PostgresStore::at(&limited).unwrap().migrate(migrates).sweep_budget(None);
        let store = store.build().unwrap();
        use_all(&store).await;
        store.append_to_log("moves", &["one".to_owned()], HOUR).await.unwrap();
        assert_eq!(store.log("moves").await.unwrap(), ["one"]);
        assert_eq!(
            store.health().await.unwrap().problems,
            ["`fsync` or `synchronous_commit` is off: \
             a logout that was acknowledged can be lost in a crash"]
        );
        // It has no right to make tables.
        let other = PostgresStore::at(&limited).unwrap().table("other").build().unwrap();
        let error = other.migrate().await.unwrap_err();
        assert!(shown(&error).contains("permission denied"), "{}", shown(&error));
    }
}

/// The schema is there, and the role may make tables in it and no schemas.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_without_rights_on_the_database_makes_tables_in_its_schema() {
    let url = PostgresServer::shared().database();
    let name = url.rsplit('/').next().unwrap();
    psql(&url, "CREATE ROLE in_schema LOGIN");
    psql(&url, &format!("REVOKE ALL ON DATABASE {name} FROM PUBLIC"));
    psql(&url, &format!("GRANT CONNECT ON DATABASE {name} TO in_schema"));
    psql(&url, r#"CREATE SCHEMA "Shop"; GRANT USAGE, CREATE ON SCHEMA "Shop" TO in_schema"#);
    let limited = url.replace("cloakroom@", "in_schema@");
    let store = PostgresStore::at(&limited).unwrap().schema("Shop").migrate(true).build().unwrap();
    create(&store, 1, "values").await;
    store.migrate().await.unwrap();
    let other = PostgresStore::at(&limited).unwrap().schema("other").build().unwrap();
    assert!(shown(&other.migrate().await.unwrap_err()).contains("permission denied"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_reads_and_writes_is_enough_on_mariadb() {
    for (user, migrates) in [("plain_a", false), ("plain_b", true)] {
        let url = MariaDbServer::shared().database();
        let name = url.rsplit('/').next().unwrap();
        MySqlStore::at(&url).unwrap().build().unwrap().migrate().await.unwrap();
        mariadb(
            &url,
            &format!("CREATE USER '{user}'@'%'; GRANT {RIGHTS} ON {name}.* TO '{user}'@'%'"),
        );
        let limited = url.replace("cloakroom@", &format!("{user}@"));
        let store = MySqlStore::at(&limited).unwrap().migrate(migrates).sweep_budget(None);
        let store = store.build().unwrap();
        use_all(&store).await;
        store.append_to_log("moves", &["one".to_owned()], HOUR).await.unwrap();
        assert_eq!(store.log("moves").await.unwrap(), ["one"]);
        let other = MySqlStore::at(&limited).unwrap().table("other").build().unwrap();
        let error = other.migrate().await.unwrap_err();
        assert!(shown(&error).contains("denied"), "{}", shown(&error));
    }
}

/// The statements that the application's own tool runs make the same tables.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_printed_schema_makes_the_tables() {
    for database in Database::KINDS {
        let place = Place::new(database);
        let statements = match database {
            Database::Postgres(_) => {
                PostgresStore::at(&place.url).unwrap().build().unwrap().schema()
            }
            Database::MariaDb => MySqlStore::at(&place.url).unwrap().build().unwrap().schema(),
            Database::Sqlite => SqliteStore::at(&place.url).unwrap().build().unwrap().schema(),
        };
        for _ in 0..2 {
            for statement in &statements {
                place.sql(statement);
            }
        }
        let store = place.store_with(&Settings { migrates: false, ..Settings::default() });
        create(&*store, 1, "values").await;
        store.migrate().await.unwrap();
        assert_eq!(place.rows(), 1);
    }
}
