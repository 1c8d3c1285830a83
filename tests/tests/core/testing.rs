//! Messages of the assertions of `cloakroom::testing`.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cloakroom::{
    AppKeys, MemoryStore, Sessions,
    testing::{Application, RawRequest, RawResponse, TestClient, TestResponse},
};
use serde_json::json;

/// Replies 200 to every request and does not ask for the session.
struct Silent;

impl Application for Silent {
    async fn call(&self, _: RawRequest) -> RawResponse {
        RawResponse { status: 200, ..RawResponse::default() }
    }
}

async fn response() -> TestResponse {
    let sessions = Sessions::builder(MemoryStore::new(), AppKeys::random()).build().unwrap();
    let mut client = TestClient::new(Silent, &sessions)
        .with_session(json!({ "cart": { "items": 2 } }))
        .with_flash(json!({ "notice": "saved" }))
        .with_message("info", "Row 7 is empty")
        .with_errors([("email", "is required")])
        .with_old(json!({ "email": "x" }))
        .signed_in_as("virk");
    client.get("/").send().await
}

#[tokio::test]
async fn assertions_that_hold_pass() {
    let response = response().await;
    response
        .assert_status(200)
        .assert_session("cart.items", 2)
        .assert_session_missing("cart.price")
        .assert_flash("notice", "saved")
        .assert_flash_missing("warning")
        .assert_message("info", "Row 7 is empty")
        .assert_error_for("email", "is required")
        .assert_no_error_for("name")
        .assert_old("email", "x")
        .assert_signed_in_as("virk");
}

#[tokio::test]
async fn a_failed_assertion_shows_the_whole_session() {
    let response = response().await;
    let failing: [(&str, &dyn Fn()); 10] = [
        ("`cart.items` should be 3 and is 2", &|| _ = response.assert_session("cart.items", 3)),
        ("`total` should be 3 and is missing", &|| _ = response.assert_session("total", 3)),
        ("should have no value `cart`", &|| _ = response.assert_session_missing("cart")),
        ("message `notice` should be \"gone\" and is \"saved\"", &|| {
            _ = response.assert_flash("notice", "gone");
        }),
        ("messages should contain \"Row 7 is empty\" of the level `error`", &|| {
            _ = response.assert_message("error", "Row 7 is empty");
        }),
        ("should contain \"is taken\" and are [\"is required\"]", &|| {
            _ = response.assert_error_for("email", "is taken");
        }),
        ("should be no error for `email`", &|| _ = response.assert_no_error_for("email")),
        ("old input `email` should be \"y\" and is \"x\"", &|| {
            _ = response.assert_old("email", "y");
        }),
        ("should have no owner and has Some(\"virk\")", &|| _ = response.assert_signed_out()),
        ("should be 404 and is 200", &|| _ = response.assert_status(404)),
    ];
    for (said, assertion) in failing {
        let panic = catch_unwind(AssertUnwindSafe(assertion)).unwrap_err();
        let message = panic.downcast_ref::<String>().unwrap();
        assert!(message.contains(said), "{message}");
        let whole = ["\"items\": 2", "\"notice\": \"saved\"", "\"owner\": \"virk\"", "is required"];
        assert!(whole.iter().all(|part| message.contains(part)), "{message}");
    }
}
