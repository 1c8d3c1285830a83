//! The commands on sessions in databases.

use std::{sync::Arc, time::Duration};

use cloakroom::{
    MySqlStore, PostgresStore, SqliteStore,
    clock::{Clock, SystemClock},
    store::{Commit, Draft, RecordKey, Store},
};
use cloakroom_tests::databases::{MariaDbServer, PostgresServer};
use serde_json::{Value, json};

use super::{Project, live, sessions, visit};

/// A driver, the URL of a new database, and a project that uses both.
fn projects() -> [(&'static str, String, Project); 3] {
    let postgres = PostgresServer::shared().database();
    let mysql = MariaDbServer::shared().database();
    [("postgres", postgres), ("mysql", mysql), ("sqlite", String::new())].map(|(driver, url)| {
        let project = Project::new().with("SESSION_DRIVER", driver);
        let url = match driver {
            "sqlite" => format!("sqlite:{}", project.path().join("data/app.db").display()),
            _ => url,
        };
        let project = project.with("DATABASE_URL", &url);
        (driver, url, project)
    })
}

/// Returns the store of an application that has made its tables.
fn store(driver: &str, url: &str) -> Arc<dyn Store> {
    match driver {
        "postgres" => Arc::new(
            PostgresStore::at(url).unwrap().migrate(true).sweep_budget(None).build().unwrap(),
        ),
        "mysql" => {
            Arc::new(MySqlStore::at(url).unwrap().migrate(true).sweep_budget(None).build().unwrap())
        }
        _ => Arc::new(
            SqliteStore::at(url).unwrap().migrate(true).sweep_budget(None).build().unwrap(),
        ),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_work_beside_an_application_on_each_database() {
    for (driver, url, project) in projects() {
        let missing = project.run(&["list"]);
        assert_eq!(missing.code(), 1, "{driver}");
        assert!(missing.err().contains("does not exist"), "{driver}: {}", missing.err());
        super::sessions::commands_work_beside_an_application(project, store(driver, &url)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_rows_are_swept_on_each_database() {
    for (driver, url, project) in projects() {
        let store = store(driver, &url);
        for number in 0..100 {
            let record = Draft::new("expired", SystemClock.now(), Duration::from_millis(1));
            let key = RecordKey::from_bytes([number; 32]);
            store.commit(Commit::create(key, record)).await.unwrap();
        }
        visit(&sessions(store), "", |session| session.put("k", 1).unwrap()).await;
        assert_eq!(project.run(&["sweep"]).good(), "100 deleted\n", "{driver}");
        assert!(project.run(&["stats"]).good().contains("live sessions        1\n"), "{driver}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_checks_databases() {
    for (driver, url, project) in projects() {
        let before = project.run_with(&["doctor"], &[["SESSION_DATABASE_MIGRATE", "true"]]);
        assert!(before.out().contains("does not exist"), "{driver}: {}", before.out());
        store(driver, &url).load(&RecordKey::from_bytes([0; 32])).await.unwrap();
        let after = project.run(&["doctor"]);
        assert!(after.out().contains(&format!("good  {driver}: version ")), "{}", after.out());
        // The test servers do not wait for the disk.
        let wrong = format!("wrong {driver}: ");
        let is_wrong = |line: &str| line.starts_with(&wrong) && !line.ends_with("lost in a crash");
        assert!(!after.out().lines().any(is_wrong), "{}", after.out());
    }
}

/// The printed statements make the tables that the store uses.
#[tokio::test(flavor = "multi_thread")]
async fn the_printed_schema_is_the_one_that_the_store_makes() {
    let server = PostgresServer::shared();
    let url = server.database();
    let project = Project::new().with("SESSION_DATABASE_TABLE", "shop_sessions");
    let printed = project.run(&["schema", "--driver", "postgres"]).good();
    cloakroom_tests::databases::psql(&url, &printed);
    let store = PostgresStore::at(&url).unwrap().table("shop_sessions").build().unwrap();
    assert!(store.health().await.unwrap().problems.iter().all(|text| text.contains("fsync")));
    visit(&sessions(store.clone()), "", |session| session.put("k", 1).unwrap()).await;
    assert_eq!(live(&store).await, 1);
    for driver in ["mysql", "sqlite"] {
        let printed = project.run(&["schema", "--driver", driver]).good();
        assert!(printed.contains("shop_sessions_state"), "{printed}");
    }
    let refused = project.run(&["schema"]);
    assert_eq!(refused.code(), 2);
    assert!(refused.err().contains("--driver"), "{}", refused.err());
}

#[tokio::test(flavor = "multi_thread")]
async fn visitors_stay_signed_in_from_database_to_database() {
    let projects = projects();
    let (first, url, project) = &projects[0];
    let application = sessions(store(first, url));
    let mut cookies = Vec::new();
    for number in 0..20 {
        let put = |session: &cloakroom::Session| {
            session.set_owner(&format!("user-{number}")).unwrap();
            session.put("user", number).unwrap();
        };
        cookies.push(visit(&application, "", put).await);
    }
    for pair in projects.windows(2) {
        let [(from, from_url, _), (to, to_url, _)] = pair else { unreachable!("two") };
        let arguments = ["migrate", "--from", from, "--from-url", from_url, "--to", to];
        let arguments = [&arguments[..], &["--to-url", to_url, "--json"]].concat();
        let report: Value = serde_json::from_str(&project.run(&arguments).good()).unwrap();
        assert_eq!(report["copied"], 20, "{from} to {to}: {report}");
        let again: Value = serde_json::from_str(&project.run(&arguments).good()).unwrap();
        assert_eq!((&again["copied"], &again["same"]), (&json!(0), &json!(20)), "{again}");
        let application = sessions(store(to, to_url));
        for (number, cookie) in cookies.iter().enumerate() {
            visit(&application, cookie, |session| {
                assert_eq!(session.get::<usize>("user").unwrap(), Some(number));
                assert_eq!(session.owner(), Some(format!("user-{number}")));
            })
            .await;
        }
    }
    let useless = ["migrate", "--from", "file", "--from-url", url, "--to", "redis"];
    assert_eq!(project.run(&useless).code(), 2);
}
