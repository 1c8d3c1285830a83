//! Sessions that are too large for where they go.

use cloakroom_tests::server::{Server, Setup};
use serde_json::{Value, json};

fn put(key: &str, value: impl Into<Value>) -> Value {
    json!({"do": "put", "key": key, "value": value.into()})
}

fn user() -> Value {
    json!({"do": "get", "key": "user"})
}

#[tokio::test]
async fn a_logout_is_carried_out_although_what_follows_is_too_large() {
    for setup in Setup::all() {
        let server = Server::start_with(setup, |builder| builder.max_bytes(10_000)).await;
        // More than four cookies hold.
        let logout = json!([{"do": "destroy"}, put("last_search", "x".repeat(30_000))]);
        let mut told = logout.clone();
        told.as_array_mut().unwrap().push(json!({"do": "commit"}));
        for script in [logout, told] {
            let mut visitor = server.client();
            visitor.step(put("user", "virk")).await;
            let mut copy = visitor.clone();
            let reply = visitor.script(&script).await;
            if script.as_array().unwrap().len() == 3 {
                assert_eq!((reply.status.as_u16(), reply.error(2).as_str()), (200, "too_large"));
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
        let mut visitor = server.client();
        visitor.step(put("user", "virk")).await;
        let before = visitor.jar.header();
        let grow = json!([{"do": "regenerate"}, put("big", "x".repeat(30_000))]);
        let reply = visitor.script(&grow).await;
        assert_eq!((reply.status.as_u16(), reply.set_cookies()), (500, Vec::new()), "{setup:?}");
        assert_eq!(visitor.jar.header(), before);
        assert_eq!(visitor.step(json!({"do": "all"})).await, json!({"user": "virk"}), "{setup:?}");
    }
}
