//! Records that are sealed by the application key, in every store.

use cloakroom_tests::{
    server::{DriverUnderTest, Server, Setup},
    step::{Step, get, put},
};

/// Text that a plain record contains as it is.
const SECRET: &str = "4111-1111-1111-1111";

fn stores() -> impl Iterator<Item = Setup> {
    use DriverUnderTest::{File, MySql, Postgres, Redis, Sqlite};
    Setup::all().filter(|setup| [File, MySql, Postgres, Redis, Sqlite].contains(&setup.driver))
}

#[tokio::test]
async fn a_stolen_store_shows_no_value_of_a_sealed_record() {
    for setup in stores() {
        for seals in [false, true] {
            let server = Server::start_with(setup, |builder| builder.seal_records(seals)).await;
            let mut visitor = server.browser();
            visitor.step(put("card", SECRET)).await;
            visitor.step(Step::Regenerate).await;
            visitor.step(put("owner", "virk")).await;
            assert_eq!(server.backend.dump().contains(SECRET), !seals, "{setup:?}");
            assert_eq!(visitor.step(get("card")).await, SECRET, "{setup:?}");
            visitor.step(Step::Destroy).await;
            assert_eq!(visitor.step(get("card")).await, serde_json::Value::Null, "{setup:?}");
        }
    }
}
