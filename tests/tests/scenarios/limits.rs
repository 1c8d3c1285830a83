//! Sessions that are too large for where they go.

use cloakroom_tests::{
    server::{Server, Setup},
    step::{Step, get, put},
};
use serde_json::{Value, json};

fn user() -> Step {
    get("user")
}

#[tokio::test]
async fn a_logout_is_carried_out_if_the_rest_is_too_large() {
    for setup in Setup::all() {
        let server = Server::start_with(setup, |builder| builder.max_bytes(10_000)).await;
        // More than four cookies hold.
        let logout = [Step::Destroy, put("last_search", "x".repeat(30_000))];
        let committed = [&logout[..], &[Step::Commit]].concat();
        for script in [logout.to_vec(), committed] {
            let mut visitor = server.browser_with([put("user", "virk")]).await;
            let mut copy = visitor.clone();
            let reply = visitor.run(&script).await;
            if script.len() == 3 {
                assert_eq!(
                    (reply.status.as_u16(), reply.error(2).code.as_str()),
                    (200, "too_large")
                );
            } else {
                assert_eq!((reply.status.as_u16(), reply.body.len()), (500, 0), "{setup:?}");
            }
            assert!(visitor.jar.is_empty(), "{setup:?}: {:?}", reply.set_cookies());
            assert_eq!(visitor.step(user()).await, Value::Null);
            if setup.driver.is_server_side() {
                assert_eq!(server.backend.records(), 0, "{setup:?}");
                assert_eq!(copy.step(user()).await, Value::Null);
            }
        }
    }
}

#[tokio::test]
async fn a_session_that_grows_too_large_keeps_its_token_and_its_values() {
    for setup in Setup::all() {
        let server = Server::start_with(setup, |builder| builder.max_bytes(10_000)).await;
        let mut visitor = server.browser_with([put("user", "virk")]).await;
        let before = visitor.jar.header();
        let grow = [Step::Regenerate, put("big", "x".repeat(30_000))];
        let reply = visitor.run(&grow).await;
        assert_eq!((reply.status.as_u16(), reply.set_cookies()), (500, Vec::new()), "{setup:?}");
        assert_eq!(visitor.jar.header(), before);
        assert_eq!(visitor.step(Step::All).await, json!({"user": "virk"}), "{setup:?}");
    }
}
